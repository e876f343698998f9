"""The page in headless Chromium, offline: it draws, it fits, its selects change what they rule."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.fidelity_report.render import write_fidelity
from sparq_perf.fidelity_report.view import build_view
from sparq_profiles import SparqConfig

pytestmark = pytest.mark.browser

SIZES = {"wide": (1280, 900), "narrow": (420, 900)}
# Every size and every scheme once: the two do not depend on each other, and a page takes seconds to open.
LOOKS = [("wide", "light"), ("narrow", "dark")]
CHARTS = """
return [...document.querySelectorAll('.chart')].map(box => ({
  id: box.dataset.chart,
  marks: box.querySelectorAll('.scatterlayer path, .heatmaplayer image, .hm image').length,
  width: box.getBoundingClientRect().width,
  drawn: box.querySelector('.main-svg')?.getBoundingClientRect().width ?? 0,
  font: box.layout?.font?.color,
}))
"""


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Callable[..., None]:
    """Opens the page of some lines at a size and in a colour scheme."""

    def opened(lines: list[Any], *, size: str = "wide", scheme: str = "light") -> None:
        path = tmp_path / "fidelity.html"
        write_fidelity(build_view(lines), path)
        width, height = SIZES[size]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "narrow"}
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


def drawn(chromium: Any, n_charts: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    charts: list[dict[str, Any]] = []
    while len(charts) != n_charts or not all(chart["marks"] for chart in charts):
        assert time.monotonic() < deadline, charts
        charts = chromium.execute_script(CHARTS)
    for chart in charts:
        assert chart["drawn"] == pytest.approx(chart["width"], abs=2)
    return charts


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_it_draws_and_fits(show: Any, chromium: Any, grid: Any, size: str, scheme: str) -> None:
    timed = grid.timed(SparqConfig(16, 64, 16))
    show([*grid.quality(), timed, *grid.quality(context=4096, n_examples=1)], size=size, scheme=scheme)
    charts = drawn(chromium, 6)  # transfers, step and layers of two benches
    assert len({chart["font"] for chart in charts}) == 1
    assert (charts[0]["font"] == "#1b2430") == (scheme == "light")
    widths = chromium.execute_script(
        "const p = document.documentElement; return [p.scrollWidth, p.clientWidth, innerWidth]"
    )
    assert widths[0] <= min(widths[1:])
    assert_quiet(chromium)


def test_selects_change_score_and_heatmap(show: Any, chromium: Any, grid: Any) -> None:
    show(grid.quality())
    first = [chart["id"] for chart in drawn(chromium, 2)]
    assert first == ["bench-0-transfers-kl_nats", "bench-0-layers-output_error-0"]
    for which, value in (("transfers", "bench-0-transfers-perplexity"), ("layers", "bench-0-layers-recall-2")):
        chromium.execute_script(
            "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('change'))",
            f"bench-0-{which}-choice",
            value,
        )
    assert [chart["id"] for chart in drawn(chromium, 2)] == ["bench-0-transfers-perplexity", "bench-0-layers-recall-2"]
    assert_quiet(chromium)


def test_pages_with_less_open_quietly(show: Any, chromium: Any, grid: Any) -> None:
    for lines, charts in (([grid.line(SparqConfig(16, 64, 16))], 0), (grid.quality()[:1], 0), (grid.quality()[:2], 2)):
        show(lines, size="narrow")
        drawn(chromium, charts)
        assert_quiet(chromium)
