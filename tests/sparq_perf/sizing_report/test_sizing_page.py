"""The page's view and text: what it says, what it leaves unsaid, and that strings stay strings."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.report.chart_style import dark_counterparts
from sparq_perf.sizing_report.charts import build_charts
from sparq_perf.sizing_report.render import render, write_sizing
from sparq_perf.sizing_report.studies import CONTEXTS, MAP_BATCHES, MAP_LENGTHS
from sparq_perf.sizing_report.view import SizingView, build_view
from sparq_profiles import load_hardware, load_model
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.sizing import size

Ask = Callable[..., Question]
HOSTILE = '<script>alert(1)</script></script>"onmouseover="alert(2)" & <b>bold</b>'


class Page(HTMLParser):
    """Tags, attributes, scripts and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._in_script = tag == "script"
        self.scripts += [""] if self._in_script else []

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data


def viewed(question: Question) -> SizingView:
    return build_view(question, size(question))


def page_of(question: Question) -> Page:
    return Page(render(question, size(question)))


def test_the_answer_names_both_speedups(ask: Ask) -> None:
    view = viewed(ask())
    assert view.headline.startswith("NVIDIA H100 SXM5 80GB, SparQ ")
    assert "step " in view.headline
    assert view.why is not None
    assert view.why.startswith("Attention ")
    assert " makes the step " in view.why
    labels = [tile.label for tile in view.tiles]
    assert labels[:2] == ["Step speedup", "Attention speedup"]


def test_what_is_unknown_says_why(ask: Ask) -> None:
    view = viewed(ask(hardware=("l4-24gb",)))
    tile = next(tile for tile in view.tiles if tile.label.startswith("$"))
    assert (tile.value, tile.note) == ("unknown", "l4-24gb states no price_usd_per_h: give --price l4-24gb=USD_PER_H")
    assert view.unpriced == ("l4-24gb",)
    prices = [source for source in view.sources if source.what == "price of an hour"]
    assert [(source.value, source.kind) for source in prices] == [(None, "unknown")]
    given = viewed(ask(hardware=("l4-24gb",), prices_usd_per_h={"l4-24gb": 0.7}))
    assert given.unpriced == ()
    assert [(s.value, s.kind) for s in given.sources if s.what == "price of an hour"] == [(0.7, "given")]


def test_devices_that_do_not_fit(ask: Ask) -> None:
    view = viewed(ask("llama-3-70b", batch=9))
    h100, l4 = view.devices
    assert (h100.reason, h100.absent) == (None, ())
    assert l4.reason is None
    assert [name for name, _ in l4.absent] == ["two_copies"]
    none = viewed(ask("llama-3-70b", batch=900))
    assert none.headline == "llama-3-70b fits on none of the candidates as asked."
    assert none.studies == none.tiles == ()
    assert all(device.reason and device.reason.startswith("does not fit") for device in none.devices)
    assert "Nothing fits on any candidate" in page_of(ask("llama-3-70b", batch=900)).text


def test_no_sparq_setting(ask: Ask) -> None:
    question = ask(context=500, output=12)
    view = viewed(question)
    assert view.headline.startswith("NVIDIA H100 SXM5 80GB, dense attention: ")
    assert all(study.crossover is None and len(study.latency) == 1 for study in view.studies)
    page = page_of(question)
    assert "No SparQ: no rank is within 1/8" in page.text
    assert "Speedup of the step, by sequence length and batch" not in page.text


def test_studies_agree_with_the_rows(ask: Ask) -> None:
    question = ask(tpot_s=0.012)
    sizing = size(question)
    study = build_view(question, sizing).studies[0]
    rows = {row.k_layout: row for row in sizing.rows if row.hardware == "h100-sxm-80gb"}
    assert {curve.k_layout for curve in study.latency} == set(rows)
    for curve in study.latency:
        row = rows[curve.k_layout]
        assert row.tpot_s is not None
        assert row.tokens_per_s_per_gpu is not None
        (point,) = [point for point in curve.points if point.chosen]
        assert point.batch == row.batch
        assert point.at == pytest.approx(row.tpot_s.expected * 1e3)
        assert point.value == pytest.approx(row.tokens_per_s_per_gpu.expected)
        assert curve.points[-1].batch == row.largest_batch
        times = [point.at for point in curve.points]
        assert times == sorted(times)
    for curve in study.cost:
        row = rows[curve.k_layout]
        assert row.usd_per_mtok is not None
        (point,) = [point for point in curve.points if point.chosen]
        assert point.value == pytest.approx(row.usd_per_mtok.expected)
        assert {int(point.at) for point in curve.points} <= {*CONTEXTS, 8000}
    assert study.crossover is not None
    assert len(study.crossover.cells) == len(MAP_BATCHES) * len(MAP_LENGTHS)
    for bar in study.bars:
        assert sum(seconds for _, seconds in bar.parts) == pytest.approx(bar.total_s)
    rest = [dict(bar.parts)["weights"] for bar in study.bars]
    assert rest == [rest[0]] * len(rest)


def test_the_page_loads_nothing_and_checks_its_scripts(ask: Ask) -> None:
    page = page_of(ask())
    names = dict(page.attributes)
    assert "src" not in names
    assert all(value.startswith(("#", "data:")) for name, value in page.attributes if name == "href")
    policy = next(value for name, value in page.attributes if name == "content" and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == 3
    assert len(page.scripts) == 5
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_every_section_is_there(ask: Ask) -> None:
    page = page_of(ask())
    for section in ("answer", "devices", "what-if", "trade-offs", "assumed", "sources"):
        assert ("id", section) in page.attributes
    assert "10% of the capacity" in page.text
    assert "as transcribed on 2026-09-20" in page.text


def test_hostile_strings_stay_text(ask: Ask) -> None:
    model = load_model("llama-3-8b").model_copy(update={"title": HOSTILE})
    gpu = load_hardware("h100-sxm-80gb").model_copy(update={"title": f"GPU {HOSTILE}"})
    clean, page = page_of(ask()), page_of(ask(model, (gpu, "l4-24gb")))
    assert sorted(set(page.tags)) == sorted(set(clean.tags))
    assert len(page.scripts) == len(clean.scripts)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text
    for script in page.scripts[:2]:
        assert "<" not in script
        json.loads(script)


def test_every_colour_has_a_dark_counterpart(ask: Ask) -> None:
    known = set(dark_counterparts()) | {"rgba(0,0,0,0)"}
    for study in build_charts(viewed(ask()).studies):
        assert len(study.every) == 4
        for chart in study.every:
            used = set(re.findall(r"#[0-9a-fA-F]{6}|rgba?\([^)]*\)", json.dumps(chart.figure)))
            assert used <= known


def test_writing_replaces_the_file(ask: Ask, tmp_path: Path) -> None:
    question: Any = ask(hardware=("l4-24gb",))
    path = tmp_path / "new" / "sizing.html"
    write_sizing(question, size(question), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in path.parent.iterdir()] == ["sizing.html"]
