"""`sparq_benchmark`: a fixture by which a test gates a callable with the statistics of `sparq-perf gate`.

    def test_my_kernel(sparq_benchmark):
        sparq_benchmark(new_kernel, baseline=old_kernel)

The test fails where the callable got slower, and where that could not be told. Nothing heavy is imported before a test
asks for the fixture.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sparq_perf.gate.running.callables import Blocks, Call, Timer
    from sparq_perf.gate.settings import GateSettings
    from sparq_perf.gate.verdicts import Judgement

DEFAULT_FILE = ".sparq-benchmarks.json"
PROPERTY = "sparq_benchmark"
SECTION = "sparq-perf gate"

# A callable, or where to find one for processes of its own: "module:function".
Subject = Callable[[], Any] | str


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line, and the file's name in the configuration."""
    group = parser.getgroup("sparq-perf", "gating callables by sparq_benchmark")
    group.addoption(
        "--sparq-benchmark-pairs", type=int, metavar="N", help="pairs of each comparison, instead of the settings'"
    )
    group.addoption(
        "--sparq-benchmark-save",
        action="store_true",
        help="add what is measured to the stored baselines, instead of judging by them",
    )
    group.addoption(
        "--sparq-benchmark-disable", action="store_true", help="call each callable once and judge nothing, and say so"
    )
    group.addoption("--sparq-benchmark-file", type=Path, metavar="PATH", help=f"stored baselines ({DEFAULT_FILE})")
    parser.addini("sparq_benchmark_file", "stored baselines, relative to the root folder", default=DEFAULT_FILE)


@pytest.fixture
def sparq_benchmark(request: pytest.FixtureRequest) -> Iterator["SparqBenchmark"]:
    """Gates a callable: ``sparq_benchmark(candidate, baseline=other)``; see `SparqBenchmark`."""
    benchmark = SparqBenchmark(request.node, request.config)
    yield benchmark
    if not benchmark.used:
        pytest.fail(
            "sparq_benchmark was asked for and never called: nothing was judged: call it, or leave the fixture out",
            pytrace=False,
        )


class SparqBenchmark:
    """What the fixture gives a test; calling it measures, judges, and fails the test where that is due."""

    def __init__(self, node: Any, config: pytest.Config) -> None:
        self._node, self._config = node, config
        self.used = 0

    def __call__(
        self,
        candidate: Subject,
        *,
        baseline: Subject | None = None,
        name: str | None = None,
        sync: Callable[[], Any] | None = None,
        setup: Callable[[], Any] | None = None,
        floor: float | None = None,
        pairs: int | None = None,
        block_s: float | None = None,
    ) -> "Judgement | None":
        """Compare a callable with another, or with its stored past.

        Args:
            candidate: called without arguments. As ``"module:function"``, with a baseline of that form, each block is
                timed in a fresh process, which also shows what differs from process to process.
            baseline: called in turn with it; None compares with the stored baseline of this name.
            name: of the comparison, which thresholds in ``[tool.sparq-perf.gate]`` may name; the test's by default.
            sync: waits for the device, such as ``torch.cuda.synchronize``.
            setup: called before each timed call, untimed.
            floor: the smallest relative worsening that counts; the settings' where None.
            pairs: of the first look; the settings' where None.
            block_s: seconds of one block, roughly.

        Returns:
            The verdict with its evidence; None where judging is disabled, or the measurement was stored.
        """
        __tracebackhide__ = True
        self.used += 1
        key = name or (self._node.nodeid if self.used == 1 else f"{self._node.nodeid} #{self.used}")
        if self._config.getoption("--sparq-benchmark-disable"):
            self._run_once(candidate, baseline)
            self._tell(key, "NOT JUDGED", "as asked by --sparq-benchmark-disable")
            return None
        from sparq_perf.gate.running.callables import BLOCK_S, Timer
        from sparq_profiles import SparqPerfError

        timer = Timer(sync=sync, setup=setup, block_s=BLOCK_S if block_s is None else block_s)
        try:
            settings = self._settings(floor, pairs)
            if baseline is None:
                judgement = self._by_past(key, candidate, timer, settings)
            else:
                judgement = self._by_pairs(key, candidate, baseline, timer, settings)
        except SparqPerfError as error:
            self._tell(key, "INVALID", str(error))
            pytest.fail(f"sparq_benchmark: {error}", pytrace=False)
        if judgement is None:
            return None
        passes, sentence = _concluded(judgement, settings)
        self._tell(key, judgement.verdict, sentence)
        if not passes:
            pytest.fail(f"{judgement.verdict}: {sentence}", pytrace=False)
        return judgement

    def _by_pairs(
        self, key: str, candidate: Subject, baseline: Subject, timer: "Timer", settings: "GateSettings"
    ) -> "Judgement":
        from sparq_perf.gate.errors import GateError
        from sparq_perf.gate.running.benchmark import compare_callables
        from sparq_perf.gate.running.callables import HereBlocks, ProcessBlocks
        from sparq_perf.gate.running.pairs import BASE, CANDIDATE

        blocks: Blocks
        if isinstance(candidate, str) and isinstance(baseline, str):
            if timer.sync is not None or timer.setup is not None:
                raise GateError("a callable for processes of its own carries sync and setup as its attributes")
            blocks = ProcessBlocks({BASE: baseline, CANDIDATE: candidate}, timer.block_s)
        elif isinstance(candidate, str) or isinstance(baseline, str):
            raise GateError("candidate and baseline must both be callables, or both be texts 'module:function'")
        else:
            self._refuse_tracer()
            blocks = HereBlocks({BASE: baseline, CANDIDATE: candidate}, timer)
        return compare_callables(key, blocks, settings)

    def _by_past(self, key: str, candidate: Subject, timer: "Timer", settings: "GateSettings") -> "Judgement | None":
        from sparq_perf.gate.errors import GateError
        from sparq_perf.gate.running.benchmark import compare_with_stored, usual_median
        from sparq_perf.gate.running.stored import environment_here, read_stored, write_stored

        self._refuse_tracer()
        path = self._config.getoption("--sparq-benchmark-file") or self._config.rootpath / self._config.getini(
            "sparq_benchmark_file"
        )
        saving = self._config.getoption("--sparq-benchmark-save")
        stored = read_stored(path).get(key)
        if stored is None and not saving:
            raise GateError(f"{path}: holds no baseline of {key}: measure one with --sparq-benchmark-save")
        call = _resolve(candidate)
        call()
        blocks = [timer.block(call) for _ in range(settings.pairs)]
        here = environment_here()
        if saving:
            kept = write_stored(path, key, here, usual_median(blocks, settings))
            self._tell(key, "STORED", f"{kept.medians_s[-1]:.4g} s, {len(kept.medians_s)} processes in {path}")
            return None
        assert stored is not None
        return compare_with_stored(key, stored.medians_s, blocks, stored.unlike(here), settings)

    def _settings(self, floor: float | None, pairs: int | None) -> "GateSettings":
        """The project's settings, changed by the command line and the test."""
        from pydantic import ValidationError

        from sparq_perf.gate.configuring import load_settings
        from sparq_perf.gate.errors import GateError
        from sparq_perf.gate.settings import GateSettings

        settings = load_settings(folder=self._config.rootpath)
        asked = {"floor": floor, "pairs": self._config.getoption("--sparq-benchmark-pairs") or pairs}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        if floor is not None and floor > settings.largest_floor:
            given["largest_floor"] = floor
        if floor is not None:
            # A floor that a test gives holds for it, whatever patterns say; and for stored baselines too.
            given |= {"thresholds": (), "stored_floor": max(floor, settings.stored_floor)}
        given["min_pairs"] = min(settings.min_pairs, given.get("pairs", settings.pairs))
        try:
            return GateSettings.model_validate({**settings.model_dump(), **given})
        except ValidationError as error:
            fault = error.errors()[0]
            raise GateError(f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}") from None

    def _run_once(self, candidate: Subject, baseline: Subject | None) -> None:
        for subject in (baseline, candidate):
            if subject is not None:
                _resolve(subject)()

    def _refuse_tracer(self) -> None:
        """Times under a tracer are the tracer's."""
        from sparq_perf.gate.errors import GateError

        if sys.gettrace() is not None or sys.getprofile() is not None:
            raise GateError(
                "a tracer (coverage, a debugger, a profiler) is attached, which takes most of the time that would be "
                "measured: run without it, or give --sparq-benchmark-disable"
            )

    def _tell(self, key: str, verdict: str, sentence: str) -> None:
        told = {"key": key, "verdict": verdict, "sentence": sentence}
        # As a property of the test's report, which pytest-xdist brings to the process that prints.
        self._node.user_properties.append((PROPERTY, json.dumps(told)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A section with every comparison, most alarming first."""
    told = [
        one
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for one in _told_by(report)
    ]
    if not told:
        return
    terminalreporter.section(SECTION)
    from sparq_perf.gate.verdicts import VERDICTS

    known: list[str] = [*VERDICTS, "STORED", "NOT JUDGED"]
    for one in sorted(told, key=lambda one: known.index(one["verdict"])):
        terminalreporter.write_line(f"{one['verdict']:<11} {one['key']}: {one['sentence']}")
    workers = getattr(config.option, "numprocesses", None)
    if workers and workers > 1:
        terminalreporter.write_line(
            f"measured by {workers} processes side by side, which disturb each other: give -n 0"
        )


def _told_by(report: pytest.TestReport) -> Iterator[dict[str, Any]]:
    for name, value in report.user_properties:
        if name == PROPERTY:
            with suppress(ValueError):
                yield json.loads(str(value))


def _resolve(subject: Subject) -> "Call":
    if callable(subject):
        return subject
    from sparq_perf.gate.running.callable_child import find

    return find(subject)


def _concluded(judgement: "Judgement", settings: "GateSettings") -> tuple[bool, str]:
    """Whether it passes, as the gate itself concludes; and its numbers and reasons in a line."""
    from sparq_perf.gate.outcome import Outcome, Side
    from sparq_perf.gate.outputs.rows import NOTHING, rows

    outcome = Outcome(
        method=judgement.evidence.method if judgement.evidence else "paired",
        base=Side(label="baseline", n_runs=1),
        candidate=Side(label="candidate", n_runs=1),
        green=settings.green,
        judgements=(judgement,),
    )
    (row,) = rows(outcome)
    numbers = "no numbers"
    if row.effect != NOTHING:
        numbers = f"{row.effect} {row.interval}, {row.base} to {row.candidate}, floor {row.floor}, {row.processes}"
    return outcome.exit_code == 0, f"{numbers}: {'; '.join(row.reasons)}" if row.reasons else numbers
