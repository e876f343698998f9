"""Nsight Compute found, asked, and run around the real child, whose kernels a simulated ncu prints."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from sparq_perf.measure.dram import DramSubject, child, ncu
from sparq_perf.measure.dram.exchange import ChildOutcomes, ChildPlan, SubjectOutcome
from sparq_perf.measure.dram.ncu import METRIC_SETS, Ncu, find_ncu, profile_command, read_outcomes
from sparq_perf.measure.dram.programs import Finished
from sparq_perf.measure.dram.subjects import DramCounts
from sparq_perf.records.reading import Absence

Captured = Callable[[str], str]


class FakeNcu:
    """Runs instead of ncu.

    Attributes:
        commands, environments, timeouts: what it was run with.
        outputs: what each run prints, the last for ever.
        outcomes: what the child tells, in whose place nothing runs.
    """

    def __init__(self, *outputs: Finished) -> None:
        self.outputs = list(outputs)
        self.outcomes: tuple[SubjectOutcome, ...] = ()
        self.commands: list[Sequence[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.timeouts: list[float] = []
        self.plans: list[ChildPlan] = []

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
        self.commands.append(command)
        self.environments.append(environment)
        self.timeouts.append(timeout_s)
        if command[-1] != "--version":
            plan = ChildPlan.model_validate_json(Path(command[-1]).read_text())
            self.plans.append(plan)
            Path(plan.outcomes).write_text(ChildOutcomes(subjects=self.outcomes).model_dump_json())
        return self.outputs.pop(0) if len(self.outputs) > 1 else self.outputs[0]


def printed(stdout: str, stderr: str = "", returncode: int | None = 0) -> Finished:
    return Finished(stdout, stderr, returncode)


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncu, "counters_refused", lambda: None)


def test_the_command() -> None:
    command = profile_command("/opt/ncu", ("a.sum", "b.sum"), Path("/tmp/plan.json"))
    assert command[0] == "/opt/ncu"
    assert command[-4:] == [sys.executable, "-m", "sparq_perf.measure.dram.child", "/tmp/plan.json"]
    options = command[1:-4]
    for name, value in {
        "--metrics": "a.sum,b.sum",
        "--cache-control": "none",
        "--replay-mode": "application",
        "--clock-control": "none",
        "--nvtx-include": "sparq-dram/",
        "--page": "raw",
        "--print-units": "base",
    }.items():
        assert options[options.index(name) + 1] == value
    assert {"--nvtx", "--csv"} <= set(options)


def test_one_child_for_all(captured: Captured, subject: Callable[..., DramSubject]) -> None:
    run = FakeNcu(printed(captured("ncu-2025-raw-nvtx")))
    run.outcomes = (
        SubjectOutcome(steps={"attend": "attend"}),
        SubjectOutcome(steps={"score": "score", "select": "select", "attend": "gather"}),
        SubjectOutcome(),
    )
    subjects = [subject(key="dense", config=None), subject(key="sparq"), subject(key="sdpa", config=None)]
    counts = Ncu("GPU-1", 7, run=run, program="ncu").count(subjects)
    assert [one.read_bytes for one in counts if isinstance(one, DramCounts)] == [134_217_728, 37_752_832, 300_050]
    (plan,) = run.plans
    assert (plan.seed, plan.uuid, plan.subjects) == (7, "GPU-1", tuple(subjects))
    assert run.timeouts == [180 + 3 * 60]
    assert run.environments[0]["LC_ALL"] == "C"
    assert not Path(plan.outcomes).parent.exists()


def test_names_of_metrics_that_a_version_stops_at(captured: Captured, subject: Callable[..., DramSubject]) -> None:
    run = FakeNcu(printed(captured("ncu-unknown-metric"), returncode=9), printed(captured("ncu-2022-details")))
    run.outcomes = (SubjectOutcome(), SubjectOutcome())
    counts = Ncu(None, 0, run=run, program="ncu").count([subject(), subject()])
    assert [one.read_bytes for one in counts if isinstance(one, DramCounts)] == [134_217_728, 33_554_432]
    asked = [command[command.index("--metrics") + 1] for command in run.commands]
    assert asked == [",".join(METRIC_SETS[0]), ",".join(METRIC_SETS[1])]
    assert asked[1] == "dram__bytes_read.sum,dram__bytes_write.sum,lts__t_sectors_op_read.sum"


def test_failures_are_every_subjects(captured: Captured, subject: Callable[..., DramSubject]) -> None:
    run = FakeNcu(printed(captured("ncu-no-permission")))
    first, second = Ncu(None, 0, run=run, program="ncu").count([subject(), subject()])
    assert first == second
    assert isinstance(first, Absence)
    assert first.kind == "no_permission"


def test_too_late(subject: Callable[..., DramSubject]) -> None:
    run = FakeNcu(printed("==PROF== Connected to process 1 (python)\n", returncode=None))
    run.outcomes = (SubjectOutcome(),)
    first, _ = Ncu(None, 0, run=run, program="ncu").count([subject(), subject()])
    assert first == Absence(kind="failed", detail="ncu did not end within 300 s: its child had called 1 of 2")


def test_a_table_that_cannot_be_read(captured: Captured, subject: Callable[..., DramSubject]) -> None:
    run = FakeNcu(printed(captured("ncu-2025-raw-nvtx").replace("134,217,728", "134.217.728")))
    (found,) = Ncu(None, 0, run=run, program="ncu").count([subject()])
    assert isinstance(found, Absence)
    assert (found.kind, "134.217.728" in found.detail) == ("failed", True)


def test_a_program_that_cannot_be_started(subject: Callable[..., DramSubject]) -> None:
    def refuse(*_: object) -> Finished:
        raise PermissionError(13, "Permission denied", "ncu")

    (found,) = Ncu(None, 0, run=refuse, program="ncu").count([subject()])
    assert isinstance(found, Absence)
    assert (found.kind, "Permission denied" in found.detail) == ("failed", True)


def test_nothing_to_count() -> None:
    run = FakeNcu(printed(""))
    assert Ncu(None, 0, run=run, program="ncu").count([]) == ()
    assert run.commands == []


def test_not_installed(monkeypatch: pytest.MonkeyPatch, subject: Callable[..., DramSubject]) -> None:
    monkeypatch.setattr(ncu, "find_ncu", lambda: None)
    absent = Ncu(None, 0)
    (found,) = absent.count([subject()])
    assert found == absent.refusal()
    assert isinstance(found, Absence)
    assert found.kind == "library_missing"
    assert absent.detail is None


def test_no_permission_is_not_tried(monkeypatch: pytest.MonkeyPatch, subject: Callable[..., DramSubject]) -> None:
    refused = Absence(kind="no_permission", detail="administrators only")
    monkeypatch.setattr(ncu, "counters_refused", lambda: refused)
    run = FakeNcu(printed(""))
    assert Ncu(None, 0, run=run, program="ncu").count([subject()]) == (refused,)
    assert run.commands == []


@pytest.mark.parametrize(
    ("name", "detail"), [("ncu-version", "ncu 2025.1.1.0, /opt/ncu"), (None, "ncu of unknown version, /opt/ncu")]
)
def test_the_version(name: str | None, detail: str, captured: Captured) -> None:
    run = FakeNcu(printed(captured(name) if name else "nothing"))
    found = Ncu(None, 0, run=run, program="/opt/ncu")
    assert (found.detail, found.detail) == (detail, detail)
    assert run.commands == [["/opt/ncu", "--version"]]


def test_find_ncu(tmp_path: Path) -> None:
    def install(place: str) -> str:
        program = tmp_path / place
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return str(program)

    assert find_ncu(path=str(tmp_path), root=tmp_path) is None
    install("usr/local/cuda-12.4/bin/ncu")
    twelve_ten = install("usr/local/cuda-12.10/bin/ncu")
    assert find_ncu(path="", root=tmp_path) == twelve_ten
    install("opt/nvidia/nsight-compute/2024.3.2/ncu")
    newest = install("opt/nvidia/nsight-compute/2025.1.1/ncu")
    (tmp_path / "opt/nvidia/nsight-compute/2026.1.0").mkdir()
    assert find_ncu(path="", root=tmp_path) == newest
    on_the_path = install("bin/ncu")
    assert find_ncu(path=str(tmp_path / "bin"), root=tmp_path) == on_the_path


@pytest.mark.parametrize("text", [None, "", "{", '{"subjects": [{"failure": ""}]}'])
def test_outcomes_that_were_not_told(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.json"
    if text is not None:
        path.write_text(text)
    assert read_outcomes(path) == ChildOutcomes()


class SimulatedGpu:
    """A stage on the CPU that writes down each kernel launched inside the outer range, as ncu would profile it."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.kernels: list[tuple[str, list[str]]] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.open.append(name)
        try:
            yield
        finally:
            self.open.pop()

    def launched(self, name: str) -> None:
        if "sparq-dram" in self.open:
            self.kernels.append((name, list(self.open)))

    def stage(self) -> child.Stage:
        return child.Stage(
            device=torch.device("cpu"),
            uuid="GPU-1",
            span=self.span,
            mark=lambda: self.launched("spin_kernel"),
            flush=lambda: self.launched("flush"),
            wait=lambda: None,
            release=lambda: None,
        )

    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        column = "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg"
        writer.writerow(["ID", "Process ID", column, "Kernel Name", "dram__bytes_read.sum", "dram__bytes_write.sum"])
        writer.writerow(["", "", "", "", "byte", "byte"])
        for number, (name, ranges) in enumerate(self.kernels):
            stack = "1  " + "  ".join(f'"<default domain>:{one}:none"' for one in ranges)
            writer.writerow([number, 1, stack, name, f"{1000 * (number + 1):,}", 10])
        return out.getvalue()


def test_from_the_plan_to_the_counts(subject: Callable[..., DramSubject], monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is the real one; only its device and the printing are simulated."""
    gpu = SimulatedGpu()
    real = child.decode

    def decode(query: torch.Tensor, cache: object, config: object, implementation: str) -> torch.Tensor:
        gpu.launched(f"kernel of {implementation}")
        return real(query, cache, config, implementation)  # type: ignore[arg-type]

    monkeypatch.setattr(child, "decode", decode)

    def run(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
        child.main([command[-1]], gpu.stage)
        return printed("==PROF== Connected to process 1 (python)\n" + gpu.csv())

    subjects = [
        subject(key="sparq"),
        subject(key="wrong", config=None),  # sparq-torch without settings: refused by decode
        subject(key="dense", config=None, implementation="dense-sdpa", cache_state="warm"),
    ]
    sparq, wrong, dense = Ncu("GPU-1", 3, run=run, program="ncu").count(subjects)
    assert isinstance(sparq, DramCounts)
    # Markers are rows 1, 3 and 4; the calls 2 and 5. The failed subject launched before it was refused, outside.
    assert (sparq.read_bytes, sparq.write_bytes) == (2000, 10)
    assert isinstance(wrong, Absence)
    assert "ConfigError: decode: sparq-torch computes SparQ attention" in wrong.detail
    assert isinstance(dense, DramCounts)
    assert (dense.read_bytes, dense.write_bytes) == (5000, 10)


def test_plans_travel_as_json(subject: Callable[..., DramSubject], tmp_path: Path) -> None:
    plan = ChildPlan(seed=1, uuid=None, subjects=(subject(), subject(config=None)), outcomes=str(tmp_path))
    text = plan.model_dump_json()
    assert ChildPlan.model_validate_json(text) == plan
    assert json.loads(text)["subjects"][1]["config"] is None
