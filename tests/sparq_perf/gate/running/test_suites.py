"""A part of a suite measures the same configurations under the same names."""

from pathlib import Path

import pytest

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.running.suites import part_of, suite_text
from sparq_perf.measure.plan import plan
from sparq_profiles import ProfileError, load_suite
from sparq_profiles.load import list_names
from sparq_profiles.suite import Suite


def keys(suite: Suite) -> list[str]:
    device = "cuda" if suite.device == "gpu" else "cpu"
    return [group.key(contender) for group in plan(suite, device) for contender in group.contenders]


@pytest.mark.parametrize("name", list_names("suites"))
def test_every_suite_taken_whole_by_its_keys_is_itself(name: str, tmp_path: Path) -> None:
    suite = load_suite(name)
    (tmp_path / "part.toml").write_text(part_of(suite, keys(suite)))
    part = load_suite(tmp_path / "part.toml")
    assert sorted(keys(part)) == sorted(keys(suite))
    assert (part.dtype, part.device) == (suite.dtype, suite.device)


def test_a_part_is_the_whole_group_of_each_key(tmp_path: Path) -> None:
    suite = load_suite("smoke")
    wanted = next(key for key in keys(suite) if "S8192" in key and key.endswith("sparq-cpu"))
    (tmp_path / "part.toml").write_text(part_of(suite, [wanted]))
    found = keys(load_suite(tmp_path / "part.toml"))
    assert wanted in found
    assert len(found) == 4
    assert all("S8192" in key for key in found)


def test_keys_of_another_suite_are_refused() -> None:
    with pytest.raises(GateError, match="suite smoke: holds none of nothing/like/this/one/at/all"):
        part_of(load_suite("smoke"), ["nothing/like/this/one/at/all"])


def test_the_text_of_a_suite_is_its_file(tmp_path: Path) -> None:
    assert 'name = "smoke"' in suite_text("smoke")
    path = tmp_path / "mine.toml"
    path.write_text(suite_text("smoke"))
    assert suite_text(str(path)) == path.read_text()
    with pytest.raises(ProfileError, match="unknown suite"):
        suite_text("nothing")
