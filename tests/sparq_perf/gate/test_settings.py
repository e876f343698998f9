"""[tool.sparq-perf.gate]: found, read, refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sparq_perf.gate.configuring import load_settings
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.settings import GateSettings, Threshold

TABLE = "[tool.sparq-perf.gate]\n"


def write(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_read_from_the_project(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        [project]
        name = "a kernel"
        [tool.sparq-perf.gate]
        pairs = 12
        floor = 0.03
        allow = ["AMBIGUOUS"]
        exclude = ["*/warm/*"]
        [[tool.sparq-perf.gate.thresholds]]
        key = "llama-*"
        metrics = ["energy"]
        floor = 0.1
        [tool.sparq-perf.gate.deterministic]
        anything = 1
        """,
    )
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    settings = load_settings(folder=below)
    assert (settings.pairs, settings.floor) == (12, 0.03)
    assert settings.green == ("SAME", "IMPROVED", "AMBIGUOUS")
    assert settings.excludes("m/B1/warm/x")
    assert not settings.excludes("m/B1/cold/x")
    assert settings.limits("llama-3/x", "energy").floor == 0.1
    assert settings.limits("llama-3/x", "time").floor == 0.03


def test_defaults_without_a_file_or_a_table(tmp_path: Path) -> None:
    write(tmp_path, "[project]\nname = 'x'\n")
    assert load_settings(folder=tmp_path) == GateSettings()
    assert GateSettings().green == ("SAME", "IMPROVED")


def test_the_last_threshold_wins_limit_by_limit() -> None:
    settings = GateSettings(
        thresholds=(
            Threshold(floor=0.05, stored_floor=0.3),
            Threshold(key="a/*", floor=0.01),
            Threshold(key="b", floor=1),
        )
    )
    limits = settings.limits("a/b/c", "time")
    assert (limits.floor, limits.stored_floor) == (0.01, 0.3)
    # Who raises a floor means the ends above it too.
    assert limits.stored_excluded == 0.3
    assert settings.limits("b", "time").largest_floor == 1


def test_patterns_that_fit_nothing() -> None:
    settings = GateSettings(thresholds=(Threshold(key="lama-*", floor=0.1),), exclude=("*",))
    assert settings.idle_patterns(["llama-3"]) == ["lama-*"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("flor = 0.1", "flor is not a known field"),
        ("floor = 0", "floor is 0"),
        ("floor = -0.1", "floor is -0.1"),
        ("floor = nan", "floor is nan"),
        ("floor = '2 %'", "floor is '2 %'"),
        ("pairs = 2", "pairs is 2"),
        ("pairs = 8.5", "pairs is 8.5"),
        ("pairs = 4", "pairs is 4 and min_pairs 6"),
        ("false_discovery_rate = 1.0", "false_discovery_rate is 1.0"),
        ("allow = ['REGRESSED']", "allow.0 is 'REGRESSED'"),
        ("metrics = []", "metrics is []"),
        ("metrics = ['speed']", "metrics.0 is 'speed'"),
        ("thresholds = [{ key = 'x' }]", "a threshold must give a limit"),
        ("thresholds = [{ key = '', floor = 0.1 }]", "thresholds.0.key is ''"),
        ("thresholds = 3", "thresholds is 3"),
    ],
)
def test_refused(tmp_path: Path, one_line: Callable[[BaseException], str], text: str, complaint: str) -> None:
    path = write(tmp_path, TABLE + text)
    with pytest.raises(GateError) as refused:
        load_settings(path)
    assert complaint in one_line(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tool]\n", "has no table [tool.sparq-perf.gate]"),
        ("[tool]\nsparq-perf = 3\n", "tool.sparq-perf is 3: it must be a table"),
        ("this is not toml", "cannot be read as TOML"),
        ("x = " + "[" * 5000, "cannot be read as TOML"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(GateError) as refused:
        load_settings(write(tmp_path, text, "gate.toml"))
    assert complaint in str(refused.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="no such file"):
        load_settings(tmp_path / "gate.toml")
