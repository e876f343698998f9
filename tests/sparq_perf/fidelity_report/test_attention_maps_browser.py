"""Attention maps in headless Chromium, offline: they draw, they fit, and one select rules them all."""

import time
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.fidelity_report.maps_page import write_maps

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
def show(chromium: Any, tmp_path: Path, lines: Any) -> Any:
    def opened(size_name: str = "wide", scheme: str = "light") -> None:
        path = tmp_path / "maps.html"
        write_maps([lines.attention_map(), lines.attention_map(key="b", head=3)], path)
        width, height = SIZES[size_name]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size_name == "narrow"}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        chromium.get_log("browser")
        chromium.get(path.as_uri())

    return opened


def drawn(chromium: Any) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    charts: list[dict[str, Any]] = []
    while len(charts) != 5 or not all(chart["marks"] for chart in charts):
        assert time.monotonic() < deadline, charts
        charts = chromium.execute_script(CHARTS)
    for chart in charts:
        assert chart["drawn"] == pytest.approx(chart["width"], abs=2)
    return charts


@pytest.mark.parametrize(("size_name", "scheme"), LOOKS)
def test_they_draw_and_fit(show: Any, chromium: Any, size_name: str, scheme: str) -> None:
    show(size_name, scheme)
    fonts = {chart["font"] for chart in drawn(chromium)}
    assert fonts == ({"#1b2430"} if scheme == "light" else {"#e7ebf0"})
    widths = "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    scroll, client = chromium.execute_script(widths)
    assert scroll <= client
    assert [entry["message"] for entry in chromium.get_log("browser")] == []


def test_one_select_rules_every_map(show: Any, chromium: Any) -> None:
    show()
    kinds = ("approximate", "exact", "selected", "scatter", "coverage")
    assert {chart["id"] for chart in drawn(chromium)} == {f"map-{kind}-0" for kind in kinds}
    chromium.execute_script(
        "const s = document.getElementById('attention-map'); s.value = '1'; s.dispatchEvent(new Event('change'))"
    )
    assert {chart["id"] for chart in drawn(chromium)} == {f"map-{kind}-1" for kind in kinds}
    words = "return [...document.querySelectorAll('[data-with=map-approximate]')].map(p => p.hidden)"
    assert chromium.execute_script(words) == [True, False]
