"""Attention maps as data, as figures and as a page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.fidelity_report.attention_map_charts import build_map_charts, largest_weight
from sparq_perf.fidelity_report.attention_maps import MOST_COLUMNS, MOST_POINTS, Cell, Point, build_maps
from sparq_perf.fidelity_report.maps_page import render, write_maps
from sparq_perf.records.attention_map import AttentionMap, MapStep
from sparq_perf.records.store import RecordWriter
from sparq_profiles import SparqConfig


@pytest.fixture
def small(lines: Any) -> AttentionMap:
    """The window is the last position; k = 2."""
    return lines.attention_map(config=SparqConfig(8, 2, 1))  # type: ignore[no-any-return]


def long_map(lines: Any, n_positions: int, **fields: Any) -> AttentionMap:
    weight = 1 / n_positions
    exact = [weight] * n_positions
    exact[7], exact[8] = 1.5 * weight, 0.5 * weight
    step = MapStep(
        step=0,
        approximate=(weight,) * n_positions,
        exact=tuple(exact),
        selected=(7, n_positions - 1),
        coverage=2 * weight,
        mass=2.5 * weight,
    )
    config = SparqConfig(8, 2, 1)
    return lines.attention_map(**{"config": config, "steps": (step,), "n_steps": 1, **fields})  # type: ignore[no-any-return]


def test_a_view_by_hand(small: AttentionMap) -> None:
    (view,) = build_maps([small])
    assert (view.width, view.n_positions, view.left_out) == (1, 4, 0)
    assert view.rows == (
        (Cell(0.5, 0.1, 0), Cell(0.2, 0.4, 1), Cell(0.3, 0.5, 2), None),
        (Cell(0.25, 0.1, 0), Cell(0.25, 0.2, 0), Cell(0.3, 0.3, 1), Cell(0.2, 0.4, 2)),
    )
    assert sorted(view.points, key=lambda point: point.position) == [
        Point(0, 0.25, 0.1, 0),
        Point(1, 0.25, 0.2, 0),
        Point(2, 0.3, 0.3, 1),
        Point(3, 0.2, 0.4, 2),
    ]
    assert view.coverage == 0.5
    assert view.mass == pytest.approx(0.8)
    assert view.recall == 1.0
    assert view.name == "tiny, layer 1, head 2: r=8 k=2 l=1, mean of V, sum of logits"
    assert view.words == (
        "Query head 2 on KV head 1: it shares its selection with head 3. Example 0 of wikitext, 3 to 4 positions, "
        "2 of 4 steps; 1 position of left padding left out."
    )


def test_a_head_alone_and_lines_of_other_kinds(lines: Any, small: AttentionMap) -> None:
    shape = replace(small.shape, n_kv_heads=4)
    alone = lines.attention_map(key="alone", shape=shape, kv_head=2, padding=0)
    first, second = build_maps([lines.fidelity(), small, alone, small])
    assert first.line == small
    assert "no other head shares its selection" in second.words
    assert "padding" not in second.words
    assert build_maps([lines.fidelity()]) == ()


def test_long_maps_are_drawn_by_their_largest_weights(lines: Any) -> None:
    n = 3 * MOST_COLUMNS - 1
    (view,) = build_maps([long_map(lines, n)])
    assert (view.width, len(view.rows[0])) == (3, MOST_COLUMNS)
    assert view.rows[0][2] == Cell(1 / n, 1.5 / n, 1)  # positions 6 to 8
    last = view.rows[0][-1]
    assert last is not None
    assert last.kind == 2
    assert len(view.points) == MOST_POINTS + 2
    assert view.left_out == n - MOST_POINTS - 2
    assert {point.position for point in view.points if point.kind} == {7, n - 1}


def test_both_maps_have_one_scale(small: AttentionMap) -> None:
    (charts,) = build_map_charts(build_maps([small]))
    approximate, exact = charts.approximate.figure["data"][0], charts.exact.figure["data"][0]
    assert largest_weight(charts.view) == 0.5
    assert charts.ends == ("0.000005", "0.50")
    for name in ("zmin", "zmax", "colorscale", "x", "y"):
        assert approximate[name] == exact[name]
    assert approximate["zmax"] - approximate["zmin"] == 5
    assert approximate["x"] == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert approximate["customdata"] == [[0.5, 0.2, 0.3, None], [0.25, 0.25, 0.3, 0.2]]
    assert exact["z"][0] == [-1.0, -0.398, -0.301, None]
    assert charts.selected.figure["data"][0]["z"] == [[0, 1, 2, None], [0, 0, 1, 2]]
    names = [trace.get("name") for trace in charts.scatter.figure["data"]]
    assert names == [None, "not selected", "selected by its group's scores", "local window"]
    alpha, mass = charts.coverage.figure["data"]
    assert (alpha["x"], alpha["y"], mass["y"]) == ([0, 3], [0.5, 0.5], [0.9, 0.7])


def test_weights_of_zero_are_drawn_at_the_end_of_the_scale(lines: Any) -> None:
    step = MapStep(step=0, approximate=(1.0, 0.0), exact=(1.0, 0.0), selected=(0,), coverage=1, mass=1)
    (charts,) = build_map_charts(build_maps([lines.attention_map(steps=(step,), n_steps=1)]))
    assert charts.exact.figure["data"][0]["z"] == [[0.0, -5.0]]
    points = [trace for trace in charts.scatter.figure["data"] if trace["mode"] == "markers"]
    assert min(min(trace["x"]) for trace in points) == 1e-5


def test_the_page_escapes_what_it_shows(lines: Any, small: AttentionMap) -> None:
    page = render([small, lines.attention_map(key="b", model="<script>alert(1)</script>")])
    assert "<script>alert(1)" not in page
    assert page.count("data-follows") >= 5
    assert "0.800 of its true attention, estimated at 0.500" in page


def test_the_command_draws_them(lines: Any, small: AttentionMap, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sparq_perf.cli.main import app

    with RecordWriter(tmp_path / "records.jsonl") as writer:
        writer.append(small)
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, f"report      {tmp_path / 'fidelity.html'}\n")
    assert "attention maps" in (tmp_path / "fidelity.html").read_text(encoding="utf-8")
    write_maps([small], tmp_path / "again" / "r.html")
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        writer.append(lines.fidelity())
    both = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert both.exit_code == 0
    page = (tmp_path / "fidelity.html").read_text(encoding="utf-8")
    assert 'href="#attention-maps"' in page
    assert '<section id="attention-maps"' in page
    assert '"map-scatter-0"' in page
