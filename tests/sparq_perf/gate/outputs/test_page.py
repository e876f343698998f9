"""The gate's page: its view, and the page as text."""

from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outputs import write_text
from sparq_perf.gate.outputs.page import WIDTH, build_page_view, render_outcome, write_page

Make = Callable[..., Any]


def test_the_view_says_it_all(make_outcome: Make) -> None:
    view = build_page_view(make_outcome("SAME", "REGRESSED", "INVALID", remarks=("a remark",)))
    assert view.headline == "Regressed: 1 of 3 tests."
    assert view.exit_code == 1
    assert view.labels == ("main", "HEAD")
    assert [(tile.verdict, tile.n) for tile in view.tiles if tile.n] == [("REGRESSED", 1), ("INVALID", 1), ("SAME", 1)]
    regressed, invalid, same = view.rows
    assert (regressed.row.effect, regressed.row.interval) == ("+10.0 %", "[+9.7 %, +10.3 %]")
    assert (regressed.row.processes, same.row.processes) == ("8 fresh pairs", "8 pairs")
    assert regressed.row.significance == "< 0.0001"
    assert invalid.bar is None
    assert view.remarks == ("a remark",)


def test_bars_share_one_scale(make_outcome: Make) -> None:
    slower, same = (item.bar for item in build_page_view(make_outcome("SAME", "REGRESSED")).rows)
    assert slower is not None
    assert same is not None
    assert same.dot == pytest.approx(WIDTH / 2, abs=0.5)
    assert slower.left < slower.dot < slower.right <= WIDTH
    assert slower.floor_left < WIDTH / 2 < slower.floor_right < slower.left
    assert not slower.beyond


def test_what_lies_beyond_the_scale_says_so(make_pairs: Make, make_outcome: Make) -> None:
    (item,) = build_page_view(make_outcome("REGRESSED", ratio=3.0, fresh_ratio=3.0)).rows
    assert item.bar is not None
    assert item.bar.beyond


def test_the_page_loads_nothing(make_outcome: Make) -> None:
    page = render_outcome(make_outcome("SAME", "REGRESSED"))
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'; script-src 'sha256-" in unescape(page)
    assert "+10.0 %" in page


def test_hostile_texts_are_escaped(make_outcome: Make, hostile: str) -> None:
    calm = render_outcome(make_outcome("REGRESSED", "INVALID", remarks=("x",)))
    page = render_outcome(make_outcome("REGRESSED", "INVALID", text=hostile, remarks=(hostile,)))
    assert page.count("<script") == calm.count("<script") == 1
    assert page.count("<b>") == 0
    assert escape(hostile, quote=False).split("\n")[0][:30] in page


def test_nothing_judged(make_outcome: Make) -> None:
    assert "Nothing was judged." in render_outcome(make_outcome())


def test_written_whole_or_not_at_all(make_outcome: Make, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "gate.html"
    write_page(make_outcome("SAME"), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [one.name for one in path.parent.iterdir()] == ["gate.html"]
    with pytest.raises(GateError, match="cannot be written"):
        write_text(path / "below a file", "x")
