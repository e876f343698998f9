"""A run from start to end: which machine, which file, and an end that is written whatever happens."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sparq_perf.measure.machine import DeviceType, choose_device, open_machine
from sparq_perf.measure.plan import plan
from sparq_perf.measure.preparing import SessionOptions
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.resume import RunState, keep_aside, resume
from sparq_perf.measure.session import Outcome, Session
from sparq_perf.records.schema import Environment, PassName
from sparq_perf.records.store import RECORDS_NAME, RecordWriter
from sparq_profiles.suite import Suite


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked for.

    Attributes:
        out: folder of the records.
        device: ``auto``, ``cpu`` or ``cuda``.
        implementations: those to measure; empty for all that run here.
        resume: go on with the records in ``out``, measuring only what is missing.
        seed: of caches and queries.
        n_threads: of the host; all usable cores where None.
        timeout_s: for the rounds of one group; the machine's own where None.
        predict: find ceilings and calibrate first; without, measurements have no predictions, and are not held against
            the machine's speed at the start.
        skipped: passes that are not made.
        subtract_idle: take the GPU's idle power off its energy.
    """

    suite: Suite
    out: Path
    device: str = "auto"
    implementations: tuple[str, ...] = ()
    resume: bool = False
    seed: int = 0
    n_threads: int | None = None
    timeout_s: float | None = None
    predict: bool = True
    skipped: frozenset[PassName] = frozenset()
    subtract_idle: bool = False
    command: tuple[str, ...] = ()


def run_suite(options: RunOptions, progress: Progress) -> tuple[Path, Outcome]:
    """Measure a suite on this machine.

    Returns:
        The record file, and whether everything planned is in it.

    Raises:
        SparqPerfError: bad options, or records that cannot be resumed; nothing is lost then.
    """
    device = choose_device(options.device, options.suite.device)
    machine = open_machine(device, options.n_threads, progress.note)
    groups = plan(options.suite, device, options.implementations)
    path = options.out / RECORDS_NAME
    environment = machine.environment
    _note_unused_gpu(device, environment, progress)
    state = RunState()
    if path.exists():
        RecordWriter(path).close()  # refuses a file that another run is writing, before it is mended or renamed
    if options.resume and path.exists():
        state = resume(path, options.suite, environment, progress)
    elif path.exists():
        progress.note(f"earlier records kept as {keep_aside(path).name}")
    wanted = SessionOptions(
        suite=options.suite,
        seed=options.seed,
        timeout_s=options.timeout_s,
        predict=options.predict,
        command=options.command,
        skipped=options.skipped,
        subtract_idle=options.subtract_idle,
    )
    with RecordWriter(path) as writer, _terminate_as_interrupt():
        return path, Session(machine, wanted, writer, groups, state, progress).run()


def _note_unused_gpu(device: DeviceType, environment: Environment, progress: Progress) -> None:
    gpu_is_here = any(instrument.name == "nvml" and instrument.available for instrument in environment.instruments)
    if device == "cpu" and gpu_is_here:
        progress.note("a GPU is here: this run measures the CPU; '--suite gpu --device cuda' measures the GPU")


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A polite kill ends the run as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
