"""`gate` and its subcommands on the command line: exit codes, outputs, bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sparq_perf.gate.deterministic import deciding
from sparq_perf.gate.deterministic.baseline import Baseline, read_baseline
from sparq_perf.gate.deterministic.facts import Facts

FACTS: Facts = {
    "analytic": {"dense attend": {"read_bytes": 1000}},
    "counted": {"attend": {"read k": 512, "out_of_bounds_lanes": 0}},
    "launches": {"attend": {"grid": "4"}},
    "compiled": {"attend [x] sm_90": {"code": "aa", "registers": 64}},
    "code": {"kernel.decode": {"digest": "ab"}},
}
MORE: Facts = {**FACTS, "counted": {"attend": {"read k": 1024, "out_of_bounds_lanes": 0}}}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Facts], None]:
    """found(facts) sets what the gate finds; FACTS were accepted, in the folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    Baseline(FACTS, "3.9.0").write(Path("reports/baselines/deterministic.json"))

    def _found(facts: Facts) -> None:
        def find(request: deciding.Request, accepted: Baseline) -> tuple[Facts, str | None, int]:
            return {section: facts[section] for section in request.sections}, "3.9.0", 0

        monkeypatch.setattr(deciding, "find_facts", find)

    _found(FACTS)
    return _found


def test_as_accepted(call: Callable[..., Any], found: Callable[..., None]) -> None:
    said = call("gate")
    assert (said.code, said.out, said.err) == (0, "SAME     none of 7 facts changed\n", "")


def test_a_change_fails_and_is_accepted_on_purpose(call: Callable[..., Any], found: Callable[..., None]) -> None:
    found(MORE)
    assert call("gate").code == 1
    said = call("gate", "--accept")
    assert said.code == 0
    assert "read k  512 → 1,024  (+100.0%)" in said.out
    assert read_baseline(Path("reports/baselines/deterministic.json")).facts == MORE
    assert call("gate").code == 0


def test_only_the_sections_asked_for(call: Callable[..., Any], found: Callable[..., None]) -> None:
    found(MORE)
    assert call("gate", "--section", "analytic", "--section", "code").code == 0
    assert call("gate", "--section", "counted").code == 1


def test_outputs(call: Callable[..., Any], found: Callable[..., None], tmp_path: Path) -> None:
    found(MORE)
    said = call("gate", "--json", "--annotations", "--junit", "junit.xml", "--markdown", "page.md")
    assert said.code == 1
    assert json.loads(said.out)["passes"] is False
    assert said.err.startswith("::error title=sparq-perf gate%3A facts%3A counted::")
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().get("failures") == "1"
    assert "| attend | read k | 512 | 1,024 | +100.0% |" in (tmp_path / "page.md").read_text()


def test_without_a_verdict_the_outputs_say_so(call: Callable[..., Any], found: Callable[..., None]) -> None:
    Path("reports/baselines/deterministic.json").write_text("{")
    said = call("gate", "--annotations", "--junit", "junit.xml", "--markdown", "page.md")
    assert said.code == 2
    assert 'type="INVALID"' in Path("junit.xml").read_text()
    assert "no verdict" in Path("page.md").read_text()
    assert said.err.startswith("::error title=sparq-perf gate%3A no verdict::")


def test_the_table_of_a_project_says_what_is_looked_at(call: Callable[..., Any], found: Callable[..., None]) -> None:
    found(MORE)
    Path("reports/baselines/deterministic.json").rename("facts.json")
    table = '[tool.sparq-perf.gate.deterministic]\nbaseline = "facts.json"\nsections = ["analytic", "code"]\n'
    Path("pyproject.toml").write_text(table)
    assert call("gate").code == 0
    assert call("gate", "--section", "counted").code == 1
    Path("sub").mkdir()
    assert call("gate", "--config", "pyproject.toml").code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--section", "speed"), "--section is 'speed': choose of analytic, counted, launches, compiled, code"),
        (("--compile", "some"), "--compile is 'some': choose changed, all or never"),
        (("--baseline", "none.json"), "none.json: no such file: nothing was accepted yet"),
        (("--config", "none.toml"), "none.toml: no such file"),
        (("--junit", "reports"), "reports: cannot be written: "),
        (("--colour", "red"), "--colour"),
        (("faster",), "faster"),
        (("--accept", "check", "a", "b"), "--accept stands before 'check': options of a subcommand follow its name"),
    ],
)
def test_bad_input(
    refused: Callable[..., str], found: Callable[..., None], arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refused("gate", *arguments)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('sections = ["speed"]', "[tool.sparq-perf.gate.deterministic]: sections.0 is 'speed'"),
        ("sections = []", "sections is []"),
        ('compile = "some"', "compile is 'some'"),
        ("threads = 2", "threads is not a known field"),
    ],
)
def test_bad_settings(refused: Callable[..., str], found: Callable[..., None], table: str, complaint: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.sparq-perf.gate.deterministic]\n{table}\n")
    assert complaint in refused("gate")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--base", "no-such-branch"), "revision 'no-such-branch': git knows no such commit"),
        (("--base", "HEAD", "--suite", "enormous"), "unknown suite 'enormous'"),
        (("--base", "HEAD", "--suite", "gpu", "--device", "cpu"), "suite gpu is made for a gpu"),
        (("--base", "HEAD", "--pairs", "2"), "--pairs is 2: "),
        (("--base", "HEAD", "--pairs", "4"), "--pairs is 4: pairs is 4 and min_pairs 6"),
        (("--base", "HEAD", "--implementation", "sparq-gpu"), "unknown implementation 'sparq-gpu'"),
        (("--base", "HEAD", "--threads", "0"), "--threads is 0: "),
        (("--base", "HEAD", "--device", "abacus"), "--device is 'abacus': "),
        (("--base", "HEAD", "--timeout-s", "nan"), "--timeout-s is nan: "),
        (("--base", "HEAD", "--spreads", "none.json"), "none.json: no such file"),
        (("--base", "HEAD", "--repo", "/"), "not a git repository"),
        (("--base", "HEAD", "--config", "none.toml"), "none.toml: no such file"),
        ((), "--base"),
    ],
)
def test_bad_input_of_run(
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    complaint: str,
) -> None:
    import subprocess

    (tmp_path / "sparq_perf").mkdir()
    monkeypatch.chdir(tmp_path)
    for command in ("init -q", "-c user.email=a@example.org -c user.name=A commit -q --allow-empty -m x"):
        subprocess.run(["git", *command.split()], check=True)
    assert complaint in refused("gate", "run", "--out", "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("threads = 0", "[tool.sparq-perf.gate.run]: threads is 0"),
        ('device = "abacus"', "device is 'abacus'"),
        ("cores = 2", "cores is not a known field"),
    ],
)
def test_bad_settings_of_run(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text(f"[tool.sparq-perf.gate.run]\n{table}\n")
    assert complaint in refused("gate", "run", "--base", "HEAD")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--runs", "0"), "--runs is 0: it must be at least 1"),
        (("--runs", "many"), "'many'"),
        (("--revision", "no-such-branch"), "revision 'no-such-branch'"),
        (("--suite", "enormous"), "unknown suite 'enormous'"),
    ],
)
def test_bad_input_of_aa(refused: Callable[..., str], arguments: tuple[str, ...], complaint: str) -> None:
    assert complaint in refused("gate", "aa", *arguments)


@pytest.fixture
def records(lines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """records("base.jsonl", 1e-3) is a record file of one run; dense attention took that long."""
    from sparq_perf.records.store import RecordWriter

    monkeypatch.chdir(tmp_path)  # whose settings are the defaults

    def _records(name: str, time_s: float) -> Path:
        path = tmp_path / name
        stamp = {"run_id": name}
        with RecordWriter(path) as writer:
            for line in (
                lines.run(**stamp),
                lines.measurement((time_s * 0.999, time_s, time_s * 1.001), key="a", **stamp),
                lines.end(n_measured=1, n_missing=0, **stamp),
            ):
                writer.append(line)
        return path

    return _records


def test_check(call: Callable[..., Any], records: Callable[..., Path], tmp_path: Path) -> None:
    base = records("base.jsonl", 1e-3)
    assert call("gate", "check", base, records("same.jsonl", 1e-3)).code == 0
    said = call("gate", "check", base, records("slow.jsonl", 2e-3), "--junit", tmp_path / "junit.xml")
    assert said.code == 1
    assert said.out.splitlines()[-1] == "Regressed: 1 of 1 test."
    assert "<failure" in (tmp_path / "junit.xml").read_text()
    said = call("gate", "check", base, records("slower.jsonl", 1.13e-3), "--json")
    assert said.code == 2
    assert json.loads(said.out)["counts"]["AMBIGUOUS"] == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no records"),
        (b"hello\n", "is not JSON"),
        (b'{"schema_version": 99, "record": "run"}\n', "schema_version is 99"),
    ],
)
def test_bad_input_of_check(
    refused: Callable[..., str], records: Callable[..., Path], tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(content)
    base = records("base.jsonl", 1e-3)
    assert complaint in refused("gate", "check", base, path)
    assert complaint in refused("gate", "check", path, base)
    assert "no such file" in refused("gate", "check", base, tmp_path / "none.jsonl")


def test_a_failure_of_the_gate_itself_is_no_pass(
    call: Callable[..., Any], records: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparq_perf.gate import checking

    def judge(*_: Any) -> tuple[Any, ...]:
        return ()

    monkeypatch.setattr(checking, "judge", judge)
    said = call("gate", "check", records("base.jsonl", 1e-3), records("same.jsonl", 1e-3))
    assert said.code == 2
    assert "the gate is broken" in said.err


@pytest.mark.parametrize("fault", [ZeroDivisionError("by zero"), MemoryError(), RecursionError("too deep")])
def test_an_error_of_the_gate_itself_is_neither_a_pass_nor_a_regression(
    call: Callable[..., Any], records: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    from sparq_perf.gate import checking

    def judge(*_: Any) -> tuple[Any, ...]:
        raise fault

    monkeypatch.setattr(checking, "judge", judge)
    Path("junit.xml").write_text("<testsuites/>")  # an earlier run's
    arguments = (records("base.jsonl", 1e-3), records("same.jsonl", 1e-3), "--junit", "junit.xml")
    said = call("gate", "check", *arguments)
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("sparq-perf: an error of sparq-perf itself, please report it: ")
    assert type(fault).__name__ in said.err.splitlines()[-1]
    assert 'type="INVALID"' in Path("junit.xml").read_text()


def test_an_error_of_the_deterministic_gate_itself(
    call: Callable[..., Any], found: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*_: Any) -> Any:
        raise KeyError("a section")

    monkeypatch.setattr(deciding, "find_facts", find)
    said = call("gate", "--junit", "junit.xml")
    assert said.code == 2
    assert 'type="INVALID"' in Path("junit.xml").read_text()


def test_a_verdict_that_nobody_reads_is_no_pass(records: Callable[..., Path], environment: dict[str, str]) -> None:
    import subprocess
    import sys

    child = subprocess.Popen(
        [sys.executable, "-m", "sparq_perf", "gate", "check", records("a.jsonl", 1e-3), records("b.jsonl", 2e-3)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.wait(timeout=60) not in (0, 1)


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("aa",)])
def test_help_names_the_exit_codes(call: Callable[..., Any], command: tuple[str, ...]) -> None:
    said = call("gate", *command, "--help")
    assert said.code == 0
    assert "Exit codes: 0 " in " ".join(said.out.split())
