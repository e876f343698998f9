"""The page in headless Chromium, offline: it draws, it fits, and its panel computes what Python computes."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.sizing_report.render import write_sizing
from sparq_profiles import HardwareProfile, SparqConfig, load_hardware
from sparq_roofline.deployment.economics import rates
from sparq_roofline.deployment.measured_settings import MeasuredLoss, MeasuredSetting, MeasuredSettings
from sparq_roofline.deployment.memory import memory
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.sizing import size
from sparq_roofline.deployment.span import Span
from sparq_roofline.deployment.step_time import compare, step_time

pytestmark = pytest.mark.browser

Ask = Callable[..., Question]
SIZES = {"wide": (1280, 900), "narrow": (420, 900)}
# Every size and every scheme once: the two do not depend on each other, and a page takes seconds to open.
LOOKS = [("wide", "light"), ("narrow", "dark")]
# Sets the panel's fields as a reader would, and returns every number it shows, unrounded.
MOVE = """
const form = document.getElementById('panel');
for (const [name, value] of Object.entries(arguments[0])) {
  const field = form.elements[name];
  field.value = value;
  field.dispatchEvent(new Event(field.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true}));
}
const numbers = [...document.querySelectorAll('[data-out]')].map(cell => [cell.dataset.out, cell.dataset.value]);
const fits = [...document.querySelectorAll('[data-fits]')].map(chip => [`${chip.dataset.fits}-fits`, chip.textContent]);
return Object.fromEntries([...numbers, ...fits]);
"""
CHARTS = """
return [...document.querySelectorAll('.chart')].map(box => ({
  id: box.dataset.chart,
  traces: (box.data || []).length,
  marks: box.querySelectorAll('.scatterlayer path, .barlayer path, .heatmaplayer image, .hm image').length,
  width: box.getBoundingClientRect().width,
  drawn: box.querySelector('.main-svg')?.getBoundingClientRect().width ?? 0,
  font: box.layout?.font?.color,
}))
"""


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Callable[..., None]:
    """Opens the page of a question at a size and in a colour scheme."""

    def opened(question: Question, *, size_name: str = "wide", scheme: str = "light") -> None:
        path = tmp_path / "sizing.html"
        write_sizing(question, size(question), path)
        width, height = SIZES[size_name]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size_name == "narrow"}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for log in ("browser", "performance"):
            chromium.get_log(log)
        chromium.get(path.as_uri())

    return opened


def assert_quiet(chromium: Any) -> None:
    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    requests = [e["message"] for e in chromium.get_log("performance") if 'Network.requestWillBeSent"' in e["message"]]
    assert [
        r for r in requests if '"url":"file:' not in r and '"url":"data:' not in r and '"url":"blob:' not in r
    ] == []


def assert_drawn(chromium: Any, n_charts: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    charts: list[dict[str, Any]] = []
    while len(charts) != n_charts or not all(chart["marks"] for chart in charts):
        assert time.monotonic() < deadline, charts
        charts = chromium.execute_script(CHARTS)
    for chart in charts:
        assert chart["traces"] > 0
        assert chart["drawn"] == pytest.approx(chart["width"], abs=2)
    return charts


@pytest.mark.parametrize(("size_name", "scheme"), LOOKS)
def test_it_draws_and_fits(show: Any, chromium: Any, ask: Ask, size_name: str, scheme: str) -> None:
    show(ask(hardware=("h100-sxm-80gb", "l4-24gb", "mi300x-192gb")), size_name=size_name, scheme=scheme)
    charts = assert_drawn(chromium, 4)
    assert len({chart["font"] for chart in charts}) == 1
    assert (charts[0]["font"] == "#1b2430") == (scheme == "light")
    chromium.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    widths = chromium.execute_script(
        "const p = document.documentElement; return [p.scrollWidth, p.clientWidth, innerWidth]"
    )
    assert widths[0] <= min(widths[1:])
    assert_quiet(chromium)


def test_one_select_rules_every_chart(show: Any, chromium: Any, ask: Ask) -> None:
    show(ask(hardware=("l4-24gb", "h100-sxm-80gb")))
    assert chromium.execute_script("return document.getElementById('study').value") == "1"  # the best of the two
    assert {chart["id"] for chart in assert_drawn(chromium, 4)} == {"latency-1", "cost-1", "bars-1", "crossover-1"}
    chromium.execute_script(
        "const s = document.getElementById('study'); s.value = '0'; s.dispatchEvent(new Event('change'))"
    )
    assert {chart["id"] for chart in assert_drawn(chromium, 4)} == {"latency-0", "cost-0", "bars-0", "crossover-0"}
    assert_quiet(chromium)


def test_pages_with_less_open_quietly(show: Any, chromium: Any, ask: Ask) -> None:
    for question, charts in ((ask("llama-3-70b", batch=900), 0), (ask(context=500, output=12), 3)):
        show(question, size_name="narrow")
        assert_drawn(chromium, charts)
        assert chromium.execute_script("return document.querySelector('[data-out=stepSpeedup]').dataset.value")
        assert_quiet(chromium)


def in_python(question: Question, hardware: HardwareProfile, gpus: int, config: SparqConfig, s: int, b: int) -> Any:
    """What the panel must show, from Python's formulas."""
    served, held = question.served(), shard(question.model, gpus)
    steps = {
        name: step_time(hardware, served, held, b, s, which) for name, which in (("dense", None), ("sparq", config))
    }
    compared = compare(steps["dense"], steps["sparq"])
    power = hardware.power_limit_w
    found: dict[str, Any] = {
        "attentionSpeedup": compared.attention_speedup,
        "stepSpeedup": compared.step_speedup,
    }
    for name, which in (("dense", None), ("sparq", config)):
        step = steps[name]
        rate = rates(
            step.total,
            batch=b,
            n_gpus=gpus,
            price_usd_per_h=question.price_usd_per_h(hardware),
            power_limit_w=power.value if power else None,
            power_share=question.power_share,
        )
        reserve = question.demand.reserve_fraction
        taken = memory(hardware, served, held, batch=b, tokens=s, config=which, reserve_fraction=reserve)
        found |= {
            f"{name}-attention": step.attention,
            f"{name}-step": step.total,
            f"{name}-tokens": rate.tokens_per_s,
            f"{name}-perGpu": rate.tokens_per_s_per_gpu,
            f"{name}-usd": rate.usd_per_mtok,
            f"{name}-joules": rate.energy_per_token_j,
            f"{name}-kv": taken.kv_bytes,
            f"{name}-memory": taken.total_bytes,
            f"{name}-fits": "fits" if taken.fits else "does not fit",
        }
    return found


DEVICES = ("h100-sxm-80gb", "mi300x-192gb", "rtx4090-24gb", "epyc-9004-32t")
SETTINGS = [
    # device, GPUs, layout, r, k, S, B
    ("h100-sxm-80gb", 1, "two_copies", 32, 128, 8192, 16),
    ("h100-sxm-80gb", 8, "row_major", 16, 64, 131_072, 256),
    ("mi300x-192gb", 4, "channel_major", 7, 1000, 777, 3),
    ("mi300x-192gb", 2, "row_major", 33, 100, 20_000, 40),
    ("rtx4090-24gb", 2, "two_copies", 64, 4096, 100, 1),
    ("epyc-9004-32t", 1, "channel_major", 1, 1, 1, 1),
    ("epyc-9004-32t", 1, "row_major", 48, 333, 65_536, 12),
]
SOFTMAX = SparqConfig(32, 128, 48, group_score="softmax")
LOSS = MeasuredLoss("kl", 0.01, 0.001, "wikitext", 6, 8000, "a model")
MODELS = [
    ("llama-3-8b", {}),
    ("llama-3-8b", {"settings": MeasuredSettings("kl=0.05", 1, (MeasuredSetting(SOFTMAX, LOSS),))}),
    ("llama-2-7b", {"weights": "int4", "kv": "fp8"}),
    ("mistral-7b", {"weights": "fp8", "prices_usd_per_h": {"rtx4090-24gb": 0.4}, "power_share": (0.4, 0.6, 0.9)}),
]


@pytest.mark.parametrize(("model", "more"), MODELS)
def test_the_panel_computes_what_python_computes(
    show: Any, chromium: Any, ask: Ask, model: str, more: dict[str, Any]
) -> None:
    question = ask(model, DEVICES, **more)
    show(question)
    for device, gpus, layout, rank, top_k, seq_len, batch in SETTINGS:
        fields = {"device": device, "gpus": gpus, "layout": layout, "rank": rank, "topK": top_k, "seqLen": seq_len}
        shown = chromium.execute_script(MOVE, {**fields, "batch": batch})
        config = SparqConfig(rank, top_k, mean_value=model == "llama-2-7b", k_layout=layout)  # type: ignore[arg-type]
        if "settings" in more:
            config = replace(config, local_window=min(48, top_k), mean_value=True, group_score="softmax")
        expected = in_python(question, load_hardware(device), gpus, config, seq_len, batch)
        assert set(shown) == set(expected)
        for name, value in expected.items():
            if isinstance(value, Span):
                ends = {end: float(number) for end, number in asdict(value).items()}
                assert json.loads(shown[name]) == pytest.approx(ends, rel=1e-6), (device, name)
            elif isinstance(value, str):
                assert shown[name] == value
            else:
                found = json.loads(shown[name]) if shown[name] else None
                assert found == (None if value is None else pytest.approx(value, rel=1e-6))
    assert_quiet(chromium)


def test_the_panel_starts_at_the_answer(show: Any, chromium: Any, ask: Ask) -> None:
    question = ask()
    show(question)
    sizing = size(question)
    (item,) = [item for item in sizing.recommendations if item.hardware == sizing.best]
    row = next(row for row in sizing.rows if row.hardware == item.hardware and row.k_layout == item.k_layout)
    assert row.step_speedup is not None
    shown = chromium.execute_script(MOVE, {})
    assert json.loads(shown["stepSpeedup"]) == pytest.approx(asdict(row.step_speedup))
    moved = chromium.execute_script(MOVE, {"batch": 1, "seqLen": 100})
    assert moved != shown
    chromium.execute_script("document.getElementById('panel').reset()")
    deadline = time.monotonic() + 5
    while chromium.execute_script(MOVE, {}) != shown:
        assert time.monotonic() < deadline
    assert_quiet(chromium)


def test_the_panel_reaches_an_answer_beyond_its_usual_range(show: Any, chromium: Any, ask: Ask) -> None:
    question = ask("smollm2-135m", ("mi325x-256gb",), context=20, output=4, rank=8, top_k=8)
    show(question)
    (item,) = size(question).recommendations
    assert item.batch > 4096
    field = "return document.getElementById('panel').elements.batch.value"
    assert chromium.execute_script(field) == str(item.batch)
    shown = json.loads(chromium.execute_script(MOVE, {})["sparq-step" if item.k_layout else "dense-step"])
    assert item.batch / shown["expected"] == pytest.approx(item.tokens_per_s_per_gpu, rel=1e-6)


def test_numbers_out_of_range_and_sliders(show: Any, chromium: Any, ask: Ask) -> None:
    show(ask(hardware=("h100-sxm-80gb", "epyc-9004-32t")))
    field = "return document.getElementById('panel').elements[arguments[0]].value"
    least = chromium.execute_script(MOVE, {"rank": 1, "batch": 1})
    assert chromium.execute_script(MOVE, {"rank": -5, "batch": 0}) == least
    most = chromium.execute_script(MOVE, {"rank": 128, "batch": 4096})
    assert chromium.execute_script(MOVE, {"rank": 1000, "batch": 99_999}) == most
    chromium.execute_script(
        "const s = document.querySelector('input[data-for=seqLen]');"
        "s.value = 14; s.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert chromium.execute_script(field, "seqLen") == "16384"
    # A device without a link works alone.
    chromium.execute_script(MOVE, {"device": "h100-sxm-80gb", "gpus": 8})
    chromium.execute_script(MOVE, {"device": "epyc-9004-32t"})
    assert chromium.execute_script(field, "gpus") == "1"
    assert_quiet(chromium)
