"""The page as text: every section there, every string escaped, nothing loaded from anywhere."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sparq_perf.report.chart_style import COLOURS, dark_counterparts, plain, step_colours
from sparq_perf.report.charts import build_charts
from sparq_perf.report.render import render, script_json, write_report
from sparq_perf.report.view import build_view
from sparq_profiles import AttentionShape, SparqConfig

SECTIONS = (
    "verdict",
    "speedup",
    "parity",
    "roofline",
    "steps",
    "heatmap",
    "configurations",
    "provenance",
    "reading",
)
SHAPE = AttentionShape(1, 4096, 32, 32, 128, "float32")
R32 = SparqConfig(32, 128, 32)


class Page(HTMLParser):
    """Elements, attributes and scripts of a page, as a browser's parser would cut it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def partial_runs(records) -> dict[str, list]:
    dense = records.measurement("dense-cpu", SHAPE)
    sparq = records.measurement("sparq-cpu", SHAPE, R32)
    bare = [
        records.measurement("dense-cpu", SHAPE, predict=False),
        records.measurement("sparq-cpu", SHAPE, R32, predict=False),
    ]
    failed = [
        records.measurement("dense-cpu", SHAPE, status="failed", reasons=["out of memory"]),
        records.measurement("sparq-cpu", SHAPE, R32, status="failed", reasons=["out of memory"]),
    ]
    return {
        "nothing": [],
        "only an end": [records.end("failed", 3)],
        "only a run": [records.run()],
        "only dense": [records.run(), records.ceilings("start"), dense],
        "only sparq": [records.run(), sparq],
        "only failures": [records.run(), *failed, records.end()],
        "one point": [dense, sparq],
        "no predictions": [records.run(), *bare],
        "interrupted": [*records.opening(), dense, sparq, records.end("interrupted", 12)],
        "profiles of nothing": [records.step_profile(sparq)],
    }


PARTIAL = (
    "nothing",
    "only an end",
    "only a run",
    "only dense",
    "only sparq",
    "only failures",
    "one point",
    "no predictions",
    "interrupted",
    "profiles of nothing",
)


def test_every_section_is_there_in_order(records) -> None:
    page = Page(render(build_view(records.small_run())))
    ids = [value for tag, name, value in page.attributes if tag == "section" and name == "id"]
    assert tuple(ids) == SECTIONS
    assert "SparQ Attention on Example EPYC 7000" in page.words
    for told in ("out of memory", "too noisy", "no NVIDIA driver here", "0123abc+changes", "sparq-perf run"):
        assert told in page.words


@pytest.mark.parametrize("which", PARTIAL)
def test_partial_runs_render_with_words_instead_of_empty_charts(records, which: str) -> None:
    lines = partial_runs(records)[which]
    view = build_view(lines)
    charts = build_charts(view)
    for chart in charts.every:
        for trace in chart.figure["data"]:
            assert len(trace["x"]) > 0, f"{chart.id}: {trace['name']} is empty"
    html = render(view)
    for section in SECTIONS[1:6]:
        body = html.split(f'<section id="{section}"')[1].split("</section>")[0]
        assert 'class="chart' in body or 'class="nothing"' in body


def test_hostile_strings_stay_text(hostile_records) -> None:
    clean = Page(render(build_view(type(hostile_records)().small_run())))
    hostile = Page(render(build_view(hostile_records.small_run())))
    assert sorted(set(hostile.tags)) == sorted(set(clean.tags))
    assert len(hostile.scripts) == len(clean.scripts) == 3
    assert not [name for _, name, _ in hostile.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in hostile.words
    for figure in json.loads(hostile.scripts[0])["figures"].values():
        for text in _texts(figure["figure"]):
            assert "<script" not in text
            assert "<b>" not in text


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def test_json_cannot_end_its_script() -> None:
    data = {"a": "</script><!-- \u2028 & 🚀"}
    text = script_json(data)
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == data
    with pytest.raises(ValueError, match="Out of range"):
        script_json(float("nan"))


def test_plotly_gets_no_markup_from_data() -> None:
    assert plain("<b>x</b> & y\nz") == "&lt;b&gt;x&lt;/b&gt; &amp; y z"
    assert len(plain("a" * 1000)) == 140


def test_the_page_loads_nothing(records) -> None:
    page = Page(render(build_view(records.small_run())))
    assert not page.values("src")
    assert all(value.startswith(("#", "data:")) for value in page.values("href"))
    assert "link" not in page.tags or page.values("rel") == ["icon"]
    policy = next(value for value in page.values("content") if value.startswith("default-src"))
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    style = "".join(page.text)
    assert "@import" not in style
    assert "url(" not in style
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_every_colour_of_a_figure_has_a_dark_counterpart(records) -> None:
    known = set(dark_counterparts())
    assert len({colour.light for colour in COLOURS}) == len(COLOURS)
    for chart in build_charts(build_view(records.small_run())).every:
        used = {text for text in _texts(chart.figure) if re.fullmatch(r"#[0-9a-fA-F]{3,8}|rgba?\(.*\)", text)}
        assert used - known <= {"rgba(0,0,0,0)"}


def test_a_step_of_an_unknown_name_gets_a_colour_of_its_own() -> None:
    colours = step_colours(["score", "select", "quantise"])
    assert len({colour.name for colour in colours.values()}) == 3


def test_writing_replaces_the_file_in_one_go(records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "report.html"
    write_report([records.run()], path)
    first = path.read_text(encoding="utf-8")
    assert first.startswith("<!doctype html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]

    def no_replace(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", no_replace)
    with pytest.raises(OSError, match="disk full"):
        write_report([records.run(device="Other")], path)
    assert path.read_text(encoding="utf-8") == first
    assert os.listdir(path.parent) == ["report.html"]


def test_the_view_needs_no_plotly(records) -> None:
    import subprocess
    import sys

    code = "import sys, sparq_perf.report.view; sys.exit('plotly' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
