"""Markdown, as a renderer shows it."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from sparq_perf.gate.outputs import markdown
from sparq_perf.gate.outputs.markdown import MOST_REMARKS, MOST_ROWS
from sparq_perf.markdown import escape

Make = Callable[..., Any]


class Page(HTMLParser):
    """Tables as lists of rows of texts; the tags that were met."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: set[str] = set()
        self.text = ""
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self._cell.append(data)


def shown(text: str) -> Page:
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page = Page()
    page.feed(renderer.render(text))
    return page


def test_what_is_not_the_same_comes_first(make_outcome: Make) -> None:
    page = shown(markdown(make_outcome("SAME", "REGRESSED", "AMBIGUOUS", "SAME", remarks=("energy was not measured",))))
    first, folded = page.tables
    assert [row[0] for row in first] == ["Verdict", "REGRESSED", "AMBIGUOUS"]
    assert first[1][1:8] == ["1 REGRESSED", "time", "1.00 ms", "1.10 ms", "+10.0 %", "[+9.7 %, +10.3 %]", "2.0 %"]
    assert [row[0] for row in folded] == ["Verdict", "SAME", "SAME"]
    assert "sparq-perf gate: Regressed: 1 of 4 tests." in page.text
    assert "energy was not measured" in page.text
    assert "details" in page.tags


def test_a_pass(make_outcome: Make) -> None:
    page = shown(markdown(make_outcome("SAME", "SAME")))
    assert "No regression in 2 tests." in page.text
    assert len(page.tables) == 1


def test_nothing_judged(make_outcome: Make) -> None:
    assert "Nothing was judged" in shown(markdown(make_outcome())).text


def test_hostile_texts_are_shown_and_not_obeyed(make_outcome: Make, hostile: str) -> None:
    outcome = make_outcome("REGRESSED", "INVALID", text=hostile, remarks=(hostile,))
    page = shown(markdown(outcome))
    calm = shown(markdown(make_outcome("REGRESSED", "INVALID", remarks=("calm",))))
    assert page.tags == calm.tags
    assert [len(row) for row in page.tables[0]] == [9, 9, 9]
    assert page.tables[0][1][1] == " ".join(f"0 REGRESSED{hostile}".split()).replace("\x00", "\ufffd")


@pytest.mark.parametrize(
    "text",
    [
        "a|b", r"a\|b", r"\\", "`code`", "``", "*bold* _it_ __x__", "<b>x</b>", "&lt; &amp;", "[x](https://example.org)",
        "![x](y)", "https://example.org www.example.org", "@someone #12", "$x$", "~~gone~~", "<!-- x -->", "- item",
        "x\n\n# y",
        "<details>", "javascript:alert(1)", "a  b\tc",
    ],
)  # fmt: skip
def test_escaped(text: str) -> None:
    page = shown(f"| {escape(text)} | x |\n| --- | --- |\n| {escape(text)} | y |\n")
    flat = " ".join(text.split())
    assert page.tables == [[[flat, "x"], [flat, "y"]]]
    assert page.tags == {"table", "thead", "tbody", "tr", "th", "td"}


def test_a_large_suite_fits(make_outcome: Make) -> None:
    kinds = ["INVALID"] * 400 + ["SAME"] * 400
    text = markdown(make_outcome(*kinds, remarks=tuple(f"remark {index}" for index in range(100))))
    page = shown(text)
    assert [len(table) for table in page.tables] == [MOST_ROWS + 1, MOST_ROWS + 1]
    assert page.text.count(f"and {400 - MOST_ROWS} more") == 2
    assert f"and {100 - MOST_REMARKS} more" in page.text
    assert len(text) < 2**20
