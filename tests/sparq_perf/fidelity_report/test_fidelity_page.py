"""The page's view and text: what it says, what it leaves unsaid, and that strings stay strings."""

import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from sparq_perf.fidelity.tolerance import Tolerance
from sparq_perf.fidelity_report.render import build_charts, render, write_fidelity
from sparq_perf.fidelity_report.sources import source_of
from sparq_perf.fidelity_report.view import build_view
from sparq_perf.report.chart_style import dark_counterparts
from sparq_profiles import SparqConfig, load_hardware

HOSTILE = '<script>alert(1)</script></script>"onmouseover="alert(2)" & <b>bold</b>'
NEAR = SparqConfig(16, 64, 16)
KL = Tolerance("kl", 0.05)


class Page(HTMLParser):
    """Tags, attributes, scripts and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.words = ""
        self._in_script = False
        self.feed(html)
        self.close()
        self.text = " ".join(self.words.split())

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
            self.words += data


def page_of(lines: list[Any], **more: Any) -> Page:
    return Page(render(build_view(lines, **more)))


def test_the_verdict_names_the_setting_its_error_and_the_cheaper_noisy_one(grid: Any) -> None:
    """Within 0.05: 0.01 ± 0.002 at 1/2; 0.04 ± 0.02 at 1/4 reaches past; 0.2 does not count."""
    view = build_view(grid.quality(), tolerances=[KL])
    assert view.headline.replace("\u00a0", " ") == (
        "For KL at most 0.05 nats: r 16, k 64, 0.5 of the dense transfers, KL 0.010 ± 0.002 nats."
    )
    (answer,) = view.benches[0].answers
    assert answer.chip == ("ok", "within")
    (note,) = [note.replace("\u00a0", " ") for note in answer.notes]
    assert note == (
        "Cheaper, and its mean is within, but not with its standard error: r 8, k 32 (with mean value) "
        "(1/4.0 (0.250), KL 0.040 ± 0.020 nats)."
    )


def test_a_recommendation_within_the_noise_says_so(grid: Any) -> None:
    lines = [line for line in grid.quality() if line.config != NEAR]
    (answer,) = build_view(lines, tolerances=[KL]).benches[0].answers
    assert answer.chip == ("invalid", "not sure")
    assert answer.notes[0].startswith("Within the noise: ")


def test_no_setting_within_names_the_nearest(grid: Any) -> None:
    view = build_view(grid.quality(), tolerances=[Tolerance("kl", 0.001)])
    assert "no measured setting is within; the nearest is r\u00a016, k\u00a064 with KL 0.010" in view.headline
    assert view.benches[0].answers[0].chip == ("failed", "none within")


def test_perplexity_without_errors_is_not_sure(grid: Any) -> None:
    (answer,) = build_view(grid.quality(), tolerances=[Tolerance("perplexity", 1.02)]).benches[0].answers
    assert answer.point is not None
    assert answer.point.transfer_ratio == 0.25
    assert answer.chip[1] == "not sure"
    assert "no standard error" in answer.notes[0]


def test_a_tolerance_that_nothing_was_measured_by_is_said(grid: Any) -> None:
    lines = grid.quality()
    assert build_view(lines, tolerances=[Tolerance("accuracy", 0.01)]).unanswered == ("accuracy=0.01",)
    assert build_view(lines).unanswered == ()
    assert (
        "accuracy=0.01: no setting here was measured by it."
        in page_of(lines, tolerances=[Tolerance("accuracy", 0.01)]).text
    )


def test_usual_tolerances_stand_where_none_is_given(grid: Any) -> None:
    asked = [answer.asked.replace("\u00a0", " ") for answer in build_view(grid.quality()).benches[0].answers]
    assert asked == [
        "KL at most 0.05 nats",
        "KL at most 0.01 nats",
        "perplexity at most 1.05 × dense",
        "perplexity at most 1.02 × dense",
    ]


def test_benches_stand_apart_and_one_example_is_a_caution(grid: Any) -> None:
    lines = [*grid.quality(), *grid.quality(context=4096, n_examples=1)]
    view = build_view(lines)
    assert [bench.title for bench in view.benches] == [
        "wikitext, 100 tokens of context",
        "wikitext, 4k tokens of context",
    ]
    assert view.cautions == (
        "One example only, so no standard errors and no sure recommendation: wikitext, 4k tokens of context.",
    )


def test_without_dense_or_settings_or_scores(grid: Any) -> None:
    no_dense = build_view(grid.quality()[1:])
    assert no_dense.cautions[0].startswith("No dense line")
    assert [answer.asked[:2] for answer in no_dense.benches[0].answers] == ["KL", "KL"]
    assert "records hold dense attention only" in page_of(grid.quality()[:1]).text
    scoreless = page_of([grid.line(NEAR)])
    assert "1 setting measured, none by a tolerance's metric." in scoreless.text
    assert "These lines hold no score that a chart could show." in scoreless.text
    assert "records hold dense attention only" in page_of([grid.timed(NEAR)]).text


def test_the_table_has_errors_bytes_and_reasons(grid: Any) -> None:
    page = page_of(grid.quality())
    assert "0.0400± 0.0200" in page.text
    assert "Step of the whole model not measured: no decode-speed lines in the records." in page.text
    assert "Attention not measured: no measurements of attention were given." in page.text
    paired = {"scores": {"kl_nats": 0.01, "nll_increase_nats": 0.05}, "stderr": {"nll_increase_nats": 0.02}}
    assert "+0.0500± 0.0200" in page_of([*grid.quality()[:1], grid.line(NEAR, **paired)]).text
    timed = page_of([*grid.quality(), grid.timed(NEAR)])
    assert "1.50×Test CPU, float32, batch 2, 108 tokens1.75× predicted by bytes alone" in timed.text
    assert "no decode-speed line has these settings (timed: r 16 k 64)" in timed.text


def test_charts_hold_points_fronts_and_hollow_predictions(grid: Any) -> None:
    lines = [*grid.quality(), grid.timed(NEAR, 1.5), grid.timed(SparqConfig(8, 32, 8), 2.0)]
    view = build_view(lines, hardware=load_hardware("h100-sxm-80gb"))
    (charts,) = build_charts(view)
    assert [chart.name for chart in charts.transfers] == [
        "KL from dense (nats)",
        "Perplexity",
    ]
    figure = charts.transfers[0].figure
    front = figure["data"][0]
    assert front["name"] == "Pareto front"
    assert front["y"] == [0.04, 0.01]
    assert sum(len(trace["x"]) for trace in figure["data"][1:]) == 3
    assert figure["layout"]["annotations"][0]["text"] == "8, 32"
    (step,) = charts.steps
    hollow = [trace for trace in step.figure["data"] if str(trace.get("marker", {}).get("symbol")).endswith("-open")]
    assert [x for trace in hollow for x in trace["x"]] == [1.75, 1.75]
    assert step.figure["data"][0]["x"] == [2.0, 1.5]
    (attention,) = charts.attention
    assert all("predicted" in trace["name"] for trace in attention.figure["data"])
    assert len(charts.layers) == 9
    assert charts.layers[0].figure["data"][0]["z"] == [[0.2] * 4] * 2


def test_a_kl_of_zero_is_drawn_and_told(grid: Any) -> None:
    whole = grid.line(SparqConfig(32, 108), transfer_ratio=1.0, scores={"kl_nats": 0.0}, stderr={"kl_nats": 0.0})
    (charts,) = build_charts(build_view([*grid.quality(), whole]))
    figure = charts.transfers[0].figure
    drawn = [y for trace in figure["data"][1:] for y in trace["y"]]
    assert min(drawn) == 1e-6
    assert "KL from dense (nats): 0 ± 0, n = 6" in str(figure)
    assert all(math.isfinite(end) for end in figure["layout"]["yaxis"]["range"])


def test_every_colour_has_a_dark_counterpart(grid: Any) -> None:
    known = set(dark_counterparts()) | {"rgba(0,0,0,0)"}
    lines = [*grid.quality(), grid.timed(NEAR)]
    for charts in build_charts(build_view(lines, tolerances=[KL])):
        for chart in charts.every:
            assert set(re.findall(r"#[0-9a-fA-F]{6}|rgba?\([^)]*\)", json.dumps(chart.figure))) <= known


def test_the_page_loads_nothing_and_checks_its_scripts(grid: Any) -> None:
    page = page_of(grid.quality())
    assert "src" not in dict(page.attributes)
    assert all(value.startswith(("#", "data:")) for name, value in page.attributes if name == "href")
    policy = next(value for name, value in page.attributes if name == "content" and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == 2
    assert len(page.scripts) == 3


def test_hostile_strings_stay_text(grid: Any) -> None:
    fields = {"model": HOSTILE, "dataset": HOSTILE, "device": HOSTILE, "implementation": HOSTILE}
    fields |= {"versions": {HOSTILE: HOSTILE}}
    clean_lines = [*grid.quality(), grid.timed(NEAR)]
    lines = [*grid.quality(task=HOSTILE, **fields), grid.timed(NEAR, **fields)]
    clean, page = page_of(clean_lines, command="sparq-perf"), page_of(lines, command=HOSTILE)
    assert sorted(set(page.tags)) == sorted(set(clean.tags))
    assert len(page.scripts) == len(clean.scripts)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert " ".join(HOSTILE.split()) in page.text
    assert "<" not in page.scripts[0]
    json.loads(page.scripts[0])


def test_provenance_names_files_digests_versions_and_command(grid: Any, tmp_path: Any) -> None:
    path = tmp_path / "fidelity.jsonl"
    path.write_text("x", encoding="utf-8")
    page = page_of(grid.quality(), sources=[source_of(path, [])], command="sparq-perf report fidelity.jsonl")
    # SHA-256 of the letter x.
    assert "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" in page.text
    for words in ("fidelity.jsonl, 0 lines", "torch 2", "wiki.txt (SHA-256 abababababababab)", "sparq-perf report"):
        assert words in page.text


def test_writing_replaces_the_file(grid: Any, tmp_path: Any) -> None:
    path = tmp_path / "new" / "fidelity.html"
    write_fidelity(build_view(grid.quality()), path, run_report="my report.html")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("\n") or text.startswith("<!doctype html>")
    assert 'href="my%20report.html"' in text
    assert [file.name for file in path.parent.iterdir()] == ["fidelity.html"]


@pytest.mark.parametrize("n_layers", [1, 80])
def test_heatmaps_keep_a_height(grid: Any, n_layers: int) -> None:
    lines = grid.quality()
    deep = [
        line.model_copy(update={"layers": tuple(line.layers[:1]) * n_layers}) if line.layers else line for line in lines
    ]
    (charts,) = build_charts(build_view(deep))
    assert 90 <= charts.layers[0].figure["layout"]["height"] <= 500


def test_places_of_measurements_come_before_predictions(grid: Any) -> None:
    lines = [*grid.quality(), grid.measured(None, 3e-3), grid.measured(NEAR, 2e-3)]
    (charts,) = build_charts(build_view(lines, hardware=load_hardware("h100-sxm-80gb")))
    assert [chart.name.partition(",")[0] for chart in charts.attention] == [
        "an unknown device",
        "NVIDIA H100 SXM5 80GB",
    ]
    measured = [trace for trace in charts.attention[0].figure["data"] if "error_x" in trace]
    assert [trace["x"] for trace in measured] == [[pytest.approx(1.5)]]
