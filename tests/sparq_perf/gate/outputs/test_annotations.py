"""GitHub's workflow commands."""

from collections.abc import Callable
from typing import Any

from sparq_perf.gate.outputs import annotations, text_lines
from sparq_perf.gate.outputs.annotations import MOST_OF_A_LEVEL, command

Make = Callable[..., Any]


def test_levels(make_outcome: Make) -> None:
    found = annotations(
        make_outcome("SAME", "IMPROVED", "REGRESSED", "INVALID", "AMBIGUOUS", green=("SAME", "AMBIGUOUS"))
    )
    assert [line.split(" ")[0] for line in found] == ["::error", "::error", "::error", "::warning"]
    found = annotations(make_outcome("SAME", "IMPROVED", "AMBIGUOUS"), "kernel.py")
    assert [line.split("::")[1] for line in found] == [
        "error file=kernel.py,title=sparq-perf gate%3A AMBIGUOUS",
        "notice file=kernel.py,title=sparq-perf gate%3A IMPROVED",
    ]
    assert "time of 2 AMBIGUOUS: +10.0 %25 [+9.7 %25, +10.3 %25], 1.00 ms to 1.10 ms" in found[0]


def test_a_pass_is_silent(make_outcome: Make) -> None:
    assert annotations(make_outcome("SAME", "SAME")) == ()


def test_nothing_judged_is_an_error(make_outcome: Make) -> None:
    (line,) = annotations(make_outcome())
    assert line == "::error title=sparq-perf gate::Nothing was judged: there is nothing to compare."


def test_no_more_than_github_shows(make_outcome: Make) -> None:
    found = annotations(make_outcome(*["INVALID"] * 25))
    assert len(found) == MOST_OF_A_LEVEL
    assert found[-1] == "::error title=sparq-perf gate::and 16 more"


def test_escaping_as_github_asks_for() -> None:
    assert command("error", "a: b, c%", "50 %\r\nx: y,z", "a:b,c.py") == (
        "::error file=a%3Ab%2Cc.py,title=a%3A b%2C c%25::50 %25%0D%0Ax: y,z"
    )


def test_hostile_texts_start_no_command(make_outcome: Make, hostile: str) -> None:
    found = annotations(make_outcome("REGRESSED", "INVALID", text=f"{hostile}\n::stop-commands::x"), hostile)
    assert len(found) == 2
    for line in found:
        assert "\n" not in line
        assert "\r" not in line
        assert line.startswith("::error file=")


def test_a_terminal_obeys_nothing(make_outcome: Make, hostile: str) -> None:
    for line in text_lines(make_outcome("REGRESSED", "INVALID", text=hostile, remarks=(hostile,))):
        assert line.isprintable()


def test_text_for_a_terminal(make_outcome: Make) -> None:
    lines = text_lines(make_outcome("SAME", "REGRESSED", remarks=("a remark",)))
    assert lines[0].startswith("base        main (8 runs, commit 0123abc")
    assert lines[3] == "REGRESSED   time of 1 REGRESSED: +10.0 % [+9.7 %, +10.3 %], 1.00 ms to 1.10 ms"
    assert lines[4:] == (
        "note        a remark",
        "verdicts    1 REGRESSED, 1 SAME",
        "Regressed: 1 of 2 tests.",
    )
