"""What a comparison concludes, and its exit code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.judging import judge
from sparq_perf.gate.outcome import Outcome, Side, complete, read_outcome
from sparq_perf.gate.outputs import outcome_json
from sparq_perf.gate.settings import GateSettings

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (("SAME",), 0),
        (("SAME", "IMPROVED"), 0),
        (("SAME", "AMBIGUOUS"), 2),
        (("SAME", "INVALID"), 2),
        (("SAME", "REGRESSED"), 1),
        (("INVALID", "REGRESSED", "AMBIGUOUS"), 1),
        ((), 2),
    ],
)
def test_exit_codes(make_outcome: Make, kinds: tuple[str, ...], code: int) -> None:
    assert make_outcome(*kinds).exit_code == code


def test_what_is_allowed(make_outcome: Make) -> None:
    green = ("SAME", "IMPROVED", "AMBIGUOUS")
    assert make_outcome("SAME", "AMBIGUOUS", green=green).exit_code == 0
    assert make_outcome("SAME", "INVALID", green=green).exit_code == 2
    with pytest.raises(ValueError, match="REGRESSED cannot be green"):
        make_outcome("SAME", green=("SAME", "REGRESSED"))


def test_counts_and_order(make_outcome: Make) -> None:
    outcome = make_outcome("SAME", "IMPROVED", "REGRESSED", "SAME", "INVALID")
    assert outcome.counts == {"REGRESSED": 1, "INVALID": 1, "AMBIGUOUS": 0, "IMPROVED": 1, "SAME": 2}
    assert [one.verdict for one in outcome.by_concern] == ["REGRESSED", "INVALID", "IMPROVED", "SAME", "SAME"]


def test_json_and_back(make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome("SAME", "IMPROVED", "AMBIGUOUS", "REGRESSED", "INVALID")
    path = tmp_path / "gate.json"
    path.write_text(outcome_json(outcome))
    assert read_outcome(path) == outcome
    # A file that was made green by hand is judged again.
    path.write_text(outcome_json(outcome).replace('"exit_code": 1', '"exit_code": 0'))
    assert read_outcome(path).exit_code == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"schema_version": 2}', "[" * 100_000, '{"green": NaN}'])
def test_another_programs_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gate.json"
    path.write_text(text)
    with pytest.raises(GateError, match=r"gate\.json"):
        read_outcome(path)


def test_a_lost_test_is_invalid(make_pairs: Make) -> None:
    judgements = judge([make_pairs("a")], GateSettings())
    found = complete(judgements, [("a", "time"), ("a", "energy"), ("b", "time"), ("b", "time")])
    assert [(one.key, one.metric, one.verdict) for one in found] == [
        ("a", "time", "SAME"),
        ("a", "energy", "INVALID"),
        ("b", "time", "INVALID"),
    ]


def test_a_test_judged_twice(make_pairs: Make) -> None:
    judgements = judge([make_pairs("a"), make_pairs("a")], GateSettings())
    side = Side(label="x", n_runs=1)
    with pytest.raises(ValueError, match="judged twice"):
        Outcome(method="paired", base=side, candidate=side, green=("SAME",), judgements=judgements)
