"""The page as text: every section there, every string escaped, nothing loaded from anywhere."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sparq_perf.records.store import read_lines
from sparq_perf.report.chart_style import COLOURS, dark_counterparts, plain, step_colours
from sparq_perf.report.charts import build_charts
from sparq_perf.report.page import script_json
from sparq_perf.report.render import render, write_report
from sparq_perf.report.view import build_view
from sparq_profiles import AttentionShape, SparqConfig

SECTIONS = (
    "verdict",
    "speedup",
    "heatmap",
    "parity",
    "roofline",
    "steps",
    "bytes",
    "energy",
    "configurations",
    "provenance",
    "reading",
)
SHAPE = AttentionShape(1, 4096, 32, 32, 128, "float32")
HALF = AttentionShape(1, 4096, 32, 32, 128, "float16")
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


def partial_runs(records, gpu) -> dict[str, list]:
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
        **partial_instruments(gpu),
    }


def partial_instruments(gpu) -> dict[str, list]:
    """What instruments left of a GPU's run, without the rest of it."""
    dense = gpu.measurement("dense-triton", HALF)
    kernels = [("_attend", "attend", 1e6, 0.0)]
    everything = [gpu.kernel_profile(dense), gpu.loop(dense), gpu.dram(dense, kernels)]
    return {
        "instruments of nothing": [*everything, gpu.counted(dense, [("attend", 1e6, 1e6)])],
        "a loop of nothing": [gpu.energy(dense, None)],
        "all absent": [gpu.run(), dense, gpu.no_energy(dense), gpu.no_dram(dense), gpu.not_counted(dense, "no")],
        "a total of nothing": [gpu.dram_total(dense, 1e9)],
        "absences of nothing": [gpu.no_energy(dense), gpu.no_dram(dense), gpu.not_counted(dense, "no")],
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
    "instruments of nothing",
    "a loop of nothing",
    "all absent",
    "a total of nothing",
    "absences of nothing",
)


def test_every_section_is_there_in_order(records) -> None:
    page = Page(render(build_view(records.small_run())))
    ids = [value for tag, name, value in page.attributes if tag == "section" and name == "id"]
    assert tuple(ids) == SECTIONS
    assert "SparQ Attention on Example EPYC 7000" in page.words
    for told in ("out of memory", "too noisy", "no NVIDIA driver here", "0123abc+changes", "sparq-perf run"):
        assert told in page.words


@pytest.mark.parametrize("which", PARTIAL)
def test_partial_runs_render_with_words_instead_of_empty_charts(records, gpu, which: str) -> None:
    assert partial_runs(records, gpu).keys() == set(PARTIAL)
    lines = partial_runs(records, gpu)[which]
    view = build_view(lines)
    charts = build_charts(view)
    for chart in charts.every:
        for trace in chart.figure["data"]:
            assert len(trace["x"]) > 0, f"{chart.id}: {trace['name']} is empty"
    html = render(view)
    for section in SECTIONS[1:8]:
        body = html.split(f'<section id="{section}"')[1].split("</section>")[0]
        assert 'class="chart' in body or 'class="nothing"' in body or "<td" in body


def test_hostile_strings_stay_text(hostile_records) -> None:
    assert_text_only(type(hostile_records)().small_run(), hostile_records.small_run())


def test_hostile_strings_of_instruments_stay_text(hostile_gpu) -> None:
    assert_text_only(type(hostile_gpu)().gpu_run(), hostile_gpu.gpu_run())


def assert_text_only(clean_lines: list, hostile_lines: list) -> None:
    clean = Page(render(build_view(clean_lines)))
    hostile = Page(render(build_view(hostile_lines)))
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


def test_every_colour_of_a_figure_has_a_dark_counterpart(records, gpu) -> None:
    known = set(dark_counterparts())
    assert len({colour.light for colour in COLOURS}) == len(COLOURS)
    charts = [*build_charts(build_view(records.small_run())).every, *build_charts(build_view(gpu.gpu_run())).every]
    assert any(chart.id.startswith("timeline-") for chart in charts)
    for chart in charts:
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


def section(html: str, name: str) -> str:
    return Page(html.split(f'<section id="{name}"')[1].split("</section>")[0]).words


def test_a_gpu_run_says_what_its_instruments_saw(gpu) -> None:
    html = render(build_view(gpu.gpu_run()))
    steps, bytes_, energy = (section(html, name) for name in ("steps", "bytes", "energy"))
    assert "gaps in a span of" in steps
    assert "void cub::DeviceRadixSort<float, long, 256>(float const*, long)" in steps
    assert "read by Nsight Compute (ncu 2025.1)" in bytes_
    assert "in no named step" in bytes_
    assert "Counted bytes, not measured (12 configurations): not asked: the KV cache takes 1,074 to 2,147 MB" in bytes_
    assert "Energy, not measured (6 configurations): not asked: the suite does not ask for it here" in energy
    assert "730 ms software power cap 33.0 % of the loop" in energy
    assert "Dense over SparQ energy is" in energy
    table = section(html, "configurations")
    assert table.count("throttled 4 samples left out") == 2
    assert 'title="software power cap held the clock down in 25.0 % of the rounds; 4 samples left out"' in html
    provenance = section(html, "provenance")
    assert "GPU's state when the run began (17 of 20 NVML fields told)" in provenance
    assert "no: skipped, as asked on the command line" in provenance


def test_a_reason_is_told_once_however_many_lack_the_number(gpu) -> None:
    lines = [gpu.run()]
    for seq_len in range(1024, 1024 + 30):
        measured = gpu.measurement("dense-triton", AttentionShape(1, seq_len, 32, 32, 128, "float16"))
        lines += [measured, gpu.no_energy(measured), gpu.no_dram(measured)]
    html = render(build_view(lines))
    for name in ("bytes", "energy"):
        assert section(html, name).count("the suite does not ask for it here") == 1
        assert "(30 configurations)" in section(html, name)


def test_a_machine_without_a_driver_tells_it_in_one_line(gpu, records) -> None:
    from sparq_perf.records.gpu_state import GpuState
    from sparq_perf.records.reading import Absence

    absent = GpuState.missing(Absence(kind="driver_missing", detail="libnvidia-ml.so.1 was not found"))
    run = records.run()
    run = run.model_copy(update={"environment": run.environment.model_copy(update={"gpu_state": absent})})
    words = section(render(build_view([run])), "provenance")
    assert words.count("libnvidia-ml.so.1") == 1
    assert "all 20 NVML fields: driver missing: libnvidia-ml.so.1 was not found" in words


def test_a_trace_beside_the_report_is_named_and_escaped(gpu) -> None:
    view = build_view(gpu.gpu_run())
    assert "Timeline: trace.json, open in ui.perfetto.dev" in section(render(view, timeline="trace.json"), "steps")
    assert "Timeline: <b>x</b>, open" in section(render(view, timeline="<b>x</b>"), "steps")
    page = Page(render(view))
    assert "perfetto" not in page.words
    assert "b" not in Page(render(view, timeline="<b>x</b>")).tags


def test_links_to_footnotes_lead_somewhere(gpu) -> None:
    page = Page(render(build_view(gpu.gpu_run())))
    ids = set(page.values("id"))
    links = {value.removeprefix("#") for value in page.values("href") if value.startswith("#")}
    assert any("-note-" in link for link in links)
    assert links <= ids
    assert len(page.values("id")) == len(ids)


def test_records_of_version_1_render_with_reasons_instead_of_numbers() -> None:
    folder = Path(__file__).parents[3] / "reports" / "measured" / "intel-xeon-2t-2026-11-21"
    path = folder / "records.jsonl"
    html = render(build_view(read_lines(path)))
    assert "Energy was not measured: driver missing: libnvidia-ml.so.1" in section(html, "energy")
    assert "DRAM counters are read on NVIDIA GPUs only" in section(html, "bytes")
    assert "DRAM rate" not in section(html, "bytes")
    assert "Step times and launches of this workload" in section(html, "steps")
