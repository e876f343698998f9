"""The gate's pages in headless Chromium: opened from disk, offline, as a reader would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.history.page import write_history_page
from sparq_perf.gate.history.store import History
from sparq_perf.gate.history.view import view_history
from sparq_perf.gate.outputs.page import write_page

pytestmark = pytest.mark.browser

WIDTHS = (1280, 420)
LUMINANCE = """
const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
return (r + g + b) / 3;
"""
SHOWN = "return [...document.querySelectorAll('[data-words]')].filter(item => !item.hidden).length"


@pytest.fixture
def pages(make_outcome: Callable[..., Any], runs: Any, hostile: str, tmp_path: Path) -> dict[str, Path]:
    """Both pages, with ordinary and with hostile texts."""
    key = "llama-3-8b/B64-S16384-h32x8x128-float16/cold/two_copies/r32-k128-l32-mean-logits/sparq-triton"
    history = History(tmp_path / "history")
    for day in range(8):
        history.add(runs.write(f"{day}.jsonl", runs.process({key: 1e-3 * (1 + day // 4), f"other {hostile}": 2e-3})))
    made = {name: tmp_path / f"{name}.html" for name in ("gate", "hostile", "history")}
    kinds = ("REGRESSED", "INVALID", "AMBIGUOUS", "IMPROVED", *["SAME"] * 20)
    write_page(make_outcome(*kinds, text=f" {key}", remarks=("energy was not measured",)), made["gate"])
    write_page(make_outcome(*kinds, text=hostile, remarks=(hostile * 20,)), made["hostile"])
    write_history_page(view_history(history.tracks()), history.segments(), made["history"])
    return made


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_in_both_schemes(chromium: Any, pages: dict[str, Path], width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for name, path in pages.items():
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            chromium.get_log("browser")
            chromium.get(path.as_uri())
            assert chromium.execute_script("return document.documentElement.scrollWidth") <= width, (name, scheme)
            assert (chromium.execute_script(LUMINANCE) > 128) == (scheme == "light"), (name, scheme)
            assert chromium.get_log("browser") == [], (name, scheme)


def test_filters(chromium: Any, pages: dict[str, Path]) -> None:
    for name, facet, value, total, left in (
        ("gate", "verdict", "REGRESSED", 24, 1),
        ("hostile", "verdict", "SAME", 24, 20),
        ("history", "status", "worse", 2, 1),
    ):
        chromium.get(pages[name].as_uri())
        assert chromium.execute_script(SHOWN) == total
        chromium.execute_script(
            "const s = document.querySelector(`select[data-facet='${arguments[0]}']`); s.value = arguments[1];"
            "s.dispatchEvent(new Event('input', {bubbles: true}))",
            facet,
            value,
        )
        assert chromium.execute_script(SHOWN) == left
        chromium.execute_script(
            "const t = document.getElementById('filter-text'); t.value = 'nowhere to be found';"
            "t.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        assert chromium.execute_script(SHOWN) == 0
        assert chromium.execute_script("return !document.getElementById('none-left').hidden")


def test_hostile_texts_run_nothing(chromium: Any, pages: dict[str, Path]) -> None:
    chromium.get(pages["hostile"].as_uri())
    assert chromium.execute_script("return document.scripts.length") == 1
    assert chromium.execute_script("return document.querySelectorAll('b, a[href^=http], [onmouseover]').length") == 0
    assert "<script>alert(1)</script>" in chromium.execute_script("return document.querySelector('td.key').textContent")
