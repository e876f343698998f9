"""The report in headless Chromium: opened from disk, offline, as a reader would."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sparq_perf.report.render import write_report

pytestmark = pytest.mark.browser

# Every chart's traces and marks, as plotly holds and has drawn them.
CHARTS = """
return [...document.querySelectorAll('.chart')].map(box => ({
  id: box.dataset.chart,
  traces: (box.data || []).map(t => ({
    name: t.name || t.type,
    points: t.type === 'heatmap' ? t.z.flat().filter(z => z !== null).length
      : t.x.filter((x, i) => Number.isFinite(x) && Number.isFinite(t.y[i])).length,
  })),
  marks: box.querySelectorAll('.scatterlayer path, .barlayer path, .heatmaplayer image, .hm image').length,
  width: box.getBoundingClientRect().width,
  drawn: box.querySelector('.main-svg')?.getBoundingClientRect().width ?? 0,
  height: box.querySelector('.main-svg')?.getBoundingClientRect().height ?? 0,
}))
"""
SECOND = "arguments[0].selectedIndex = 1; arguments[0].dispatchEvent(new Event('change'))"
SIZES = {"wide": (1280, 900), "narrow": (420, 900)}
# Every size and every scheme once: the two do not depend on each other, and a page takes seconds to open.
LOOKS = [("wide", "light"), ("narrow", "dark")]


@pytest.fixture
def show(chromium, tmp_path: Path) -> Callable:
    """Opens a report at a size and in a colour scheme."""

    def opened(lines, *, size: str = "wide", scheme: str = "light") -> None:
        path = tmp_path / "report.html"
        write_report(lines, path)
        width, height = SIZES[size]
        # As on a phone, scroll bars take no room: 420 pixels are 420 pixels.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "narrow"}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        set_scheme(chromium, scheme)
        for log in ("browser", "performance"):
            chromium.get_log(log)
        chromium.get(path.as_uri())

    return opened


def set_scheme(chromium, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"waited 10 s in vain: {what}"
        time.sleep(0.05)


def assert_quiet(chromium) -> None:
    """No console message of any kind, and no request but the page itself."""
    assert [entry["message"] for entry in chromium.get_log("browser")] == []
    requests = [e["message"] for e in chromium.get_log("performance") if 'Network.requestWillBeSent"' in e["message"]]
    foreign = [r for r in requests if '"url":"file:' not in r and '"url":"data:' not in r and '"url":"blob:' not in r]
    assert foreign == []


def assert_charts_drawn(chromium, at_least: int) -> None:
    charts = chromium.execute_script(CHARTS)
    assert len(charts) >= at_least
    for chart in charts:
        assert chart["traces"], f"{chart['id']} has no trace"
        for trace in chart["traces"]:
            assert trace["points"] > 0, f"{chart['id']}: {trace['name']} has no point"
        assert chart["marks"] > 0, f"{chart['id']} drew nothing"
        assert chart["height"] > 80
        assert chart["drawn"] == pytest.approx(chart["width"], abs=2), f"{chart['id']} does not fill its box"


def assert_no_sideways_scroll(chromium) -> None:
    widths = chromium.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth, innerWidth]"
    )
    assert widths[0] <= widths[1]
    assert widths[0] <= widths[2]


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_charts_have_data_and_fit(show, chromium, records, size: str, scheme: str) -> None:
    show(records.small_run(), size=size, scheme=scheme)
    # Six settings, parity, roofline, steps, heatmap, bandwidth.
    assert_charts_drawn(chromium, at_least=11)
    assert_no_sideways_scroll(chromium)
    assert "Example EPYC 7000" in chromium.title
    assert chromium.execute_script("return innerWidth") == SIZES[size][0]
    assert_quiet(chromium)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_charts_of_instruments_have_data_and_fit(show, chromium, gpu, size: str, scheme: str) -> None:
    show(gpu.gpu_run(), size=size, scheme=scheme)
    # Nine settings, parity, roofline, steps, energy, timeline, heatmap, bandwidth.
    assert_charts_drawn(chromium, at_least=16)
    chromium.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert_no_sideways_scroll(chromium)
    assert_quiet(chromium)


def test_hostile_strings_of_instruments_do_nothing(show, chromium, hostile_gpu) -> None:
    show(hostile_gpu.gpu_run(), size="narrow")
    for select in chromium.find_elements("css selector", "select[data-for]"):
        chromium.execute_script(SECOND, select)
    assert_charts_drawn(chromium, at_least=16)
    chromium.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert_no_sideways_scroll(chromium)
    assert chromium.execute_script("return document.querySelectorAll('.chart b, .chart script').length") == 0
    assert_quiet(chromium)


SHOWN = """
return [...document.querySelectorAll(`[data-with="${arguments[0]}"]`)].filter(p => !p.hidden).map(p => p.dataset.choice)
"""


@pytest.mark.parametrize(("name", "parts"), [("steps-chart", 2), ("bytes-table", 1)])
def test_a_select_shows_the_tables_of_its_choice_alone(show, chromium, gpu, name: str, parts: int) -> None:
    show(gpu.gpu_run())
    select = chromium.find_element("css selector", f"select[data-for={name}]")
    values = [option.get_attribute("value") for option in select.find_elements("tag name", "option")]
    assert len(values) == 3
    assert chromium.execute_script(SHOWN, name) == [values[0]] * parts
    for value in reversed(values):
        chromium.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))", select, value
        )
        assert chromium.execute_script(SHOWN, name) == [value] * parts
    assert_quiet(chromium)


def test_every_loop_of_the_timeline_draws(show, chromium, gpu) -> None:
    show(gpu.gpu_run())
    for name in ("energy-chart", "timeline-chart"):
        select = chromium.find_element("css selector", f"select[data-for={name}]")
        for option in select.find_elements("tag name", "option")[1:4]:
            chromium.execute_script(
                "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
                select,
                option.get_attribute("value"),
            )
            assert_charts_drawn(chromium, at_least=16)
    axes = "return Object.keys(document.getElementById('timeline-chart').layout).filter(k => k.startsWith('yaxis'))"
    assert len(chromium.execute_script(axes)) == 3
    assert_quiet(chromium)


def test_the_table_finds_throttled_configurations(show, chromium, gpu) -> None:
    show(gpu.gpu_run())
    chromium.find_element("id", "filter-text").send_keys("throttled")
    rows = visible_rows(chromium)
    assert len(rows) == 2
    assert all("dense-sdpa-flash" in row for row in rows)


def test_hostile_strings_do_nothing(show, chromium, hostile_records) -> None:
    show(hostile_records.small_run(), size="narrow")
    assert "<script>alert(1)</script>" in chromium.find_element("tag name", "h1").text
    assert_charts_drawn(chromium, at_least=11)
    assert_no_sideways_scroll(chromium)
    for select in chromium.find_elements("css selector", "select[data-for]"):
        chromium.execute_script(SECOND, select)
    assert chromium.execute_script("return document.querySelectorAll('.chart b, .chart script').length") == 0
    assert_quiet(chromium)


@pytest.mark.parametrize("which", ["nothing", "dense", "one point"])
def test_partial_runs_open_quietly(show, chromium, records, which: str) -> None:
    from sparq_profiles import AttentionShape, SparqConfig

    shape = AttentionShape(1, 4096, 32, 32, 128, "float32")
    dense = records.measurement("dense-cpu", shape)
    point = [dense, records.measurement("sparq-cpu", shape, SparqConfig(32, 128))]
    show({"nothing": [], "dense": [dense], "one point": point}[which], size="narrow")
    assert_charts_drawn(chromium, at_least={"nothing": 0, "dense": 1, "one point": 3}[which])
    assert_no_sideways_scroll(chromium)
    assert_quiet(chromium)


def test_colours_follow_a_scheme_that_is_switched(show, chromium, records) -> None:
    def colours() -> list[str]:
        return chromium.execute_script(
            "const box = document.querySelector('#chart-parity');"
            "return [getComputedStyle(document.body).backgroundColor, box.layout.font.color,"
            " box.layout.xaxis.gridcolor, box.layout.hoverlabel.bgcolor, box.data.at(-1).marker.color]"
        )

    show(records.small_run(), scheme="light")
    light = colours()
    set_scheme(chromium, "dark")
    wait_for(lambda: colours()[1] != light[1], "dark colours")
    dark = colours()
    assert all(a != b for a, b in zip(light, dark, strict=True))
    set_scheme(chromium, "light")
    wait_for(lambda: colours() == light, "light colours again")
    assert_quiet(chromium)


def test_every_choice_of_a_chart_has_data(show, chromium, records) -> None:
    show(records.small_run())
    for box in ("steps-chart", "heatmap-chart"):
        select = chromium.find_element("css selector", f"select[data-for={box}]")
        values = [option.get_attribute("value") for option in select.find_elements("tag name", "option")]
        assert len(values) > 1
        for value in values:
            chromium.execute_script(
                "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
                select,
                value,
            )
            assert chromium.execute_script(f"return document.getElementById('{box}').dataset.chart") == value
            assert_charts_drawn(chromium, at_least=11)
    assert_quiet(chromium)


def visible_rows(chromium) -> list[str]:
    return chromium.execute_script(
        "return [...document.querySelectorAll('#table tbody tr')].filter(r => r.offsetHeight > 0).map(r => r.innerText)"
    )


def test_the_table_filters(show, chromium, records) -> None:
    show(records.small_run())
    every = visible_rows(chromium)
    assert sum("invalid" in row for row in every) == 1  # shown without asking
    assert sum("out of memory" in row for row in every) == 1

    def choose(facet: str, value: str) -> None:
        chromium.execute_script(
            "const s = document.querySelector(`select[data-facet=${arguments[0]}]`); s.value = arguments[1];"
            "s.dispatchEvent(new Event('input', {bubbles: true}))",
            facet,
            value,
        )

    choose("implementation", "sparq-cpu")
    fewer = visible_rows(chromium)
    assert 0 < len(fewer) < len(every)
    assert all("sparq-cpu" in row for row in fewer)
    chromium.find_element("id", "filter-text").send_keys("r16 warm")
    fewest = visible_rows(chromium)
    assert len(fewest) == 2
    assert chromium.find_element("id", "shown").text == f"2 of {len(every)} configurations"
    chromium.find_element("id", "filter-text").send_keys(" nosuchthing")
    assert visible_rows(chromium) == []
    assert chromium.find_element("id", "none-left").is_displayed()
    chromium.find_element("css selector", "#filters button").click()
    wait_for(lambda: len(visible_rows(chromium)) == len(every), "all rows after clearing")
    choose("status", "failed")
    assert len(visible_rows(chromium)) == 1
    assert_quiet(chromium)


def test_the_table_sorts_with_absent_numbers_last(show, chromium, records) -> None:
    show(records.small_run())

    def values() -> list[str]:
        return chromium.execute_script(
            "const headings = [...document.querySelectorAll('#table th')];"
            "const at = headings.findIndex(h => h.innerText.startsWith('Speedup'));"
            "document.querySelectorAll('#table th button')[at].click();"
            "return [...document.querySelectorAll('#table tbody tr')].map(r => r.cells[at].dataset.value)"
        )

    for reverse in (False, True):
        shown = values()
        numbers = [float(value) for value in shown if value]
        assert numbers == sorted(numbers, reverse=reverse)
        assert shown[: len(numbers)] == [value for value in shown if value]
        assert len(numbers) < len(shown)
    assert_quiet(chromium)


def test_printing_uses_light_colours(show, chromium, records) -> None:
    show(records.small_run(), scheme="dark")
    colour = "return document.querySelector('#chart-parity').layout.font.color"
    dark = chromium.execute_script(colour)
    chromium.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert chromium.execute_script(colour) != dark
    chromium.execute_script("dispatchEvent(new Event('afterprint'))")
    assert chromium.execute_script(colour) == dark
    assert_charts_drawn(chromium, at_least=11)
