"""Which passes a run makes, in which order, and why it leaves one out."""

from sparq_perf.measure.checking import Checker
from sparq_perf.measure.counted_pass import CountedPass
from sparq_perf.measure.dram import DramLadder
from sparq_perf.measure.dram_pass import DramPass
from sparq_perf.measure.energy_pass import EnergyObserver, measure_idle
from sparq_perf.measure.machine import Machine
from sparq_perf.measure.observing import Place
from sparq_perf.measure.passes import ObserverPass, Pass, Site
from sparq_perf.measure.plan import Group
from sparq_perf.measure.predicting import predict_contender
from sparq_perf.measure.preparing import SessionOptions
from sparq_perf.measure.profiling import ProfileObserver
from sparq_perf.measure.timing_pass import TimingPass
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.records.schema import PassName, PlannedPass
from sparq_profiles.hardware import HardwareProfile
from sparq_roofline.prediction import TimePrediction

# Those that leave a record of each contender, in the order in which they are made.
RECORDED: tuple[PassName, ...] = ("timing", "nvml", "profile", "counters", "counted")
SKIPPED = "skipped, as asked on the command line"
NO_KERNELS = "counting follows the launch parameters of a GPU's Triton kernels, and this run measures a CPU"


def asked_passes(options: SessionOptions) -> tuple[PassName, ...]:
    """Passes that leave a record of each contender, in their order, less those that the user skips."""
    return tuple(name for name in RECORDED if name not in options.skipped)


def plan_passes(options: SessionOptions, machine: Machine, groups: list[Group]) -> tuple[PlannedPass, ...]:
    """The plan for a run's first record: every pass, made or not."""
    reasons: dict[PassName, str | None] = dict.fromkeys(("correctness", *RECORDED))
    if not any(group.watched for group in groups):
        reasons["nvml"] = reasons["counters"] = "no grid of the suite is marked as watched"
    if isinstance(machine.nvml, Absence):
        reasons["nvml"] = str(machine.nvml)
    if not isinstance(machine.dram, DramLadder):
        reasons["counters"] = "; ".join(dict.fromkeys(str(rung.absence) for rung in machine.dram))
    if machine.architecture is None:
        reasons["counted"] = NO_KERNELS
    reasons |= dict.fromkeys(options.skipped, SKIPPED)
    return tuple(PlannedPass(name=name, made=reason is None, reason=reason) for name, reason in reasons.items())


def build_passes(
    options: SessionOptions,
    site: Site,
    checker: Checker,
    hardware: HardwareProfile | None,
    idle_power_w: Reading[float],
) -> list[Pass]:
    """The passes after correctness, in the order in which a group goes through them.

    Without ``hardware``, the machine's ceilings, nothing is predicted.
    """
    machine = site.machine

    def predict(place: Place) -> TimePrediction | None:
        if hardware is None:
            return None
        return predict_contender(place.group, place.contender, hardware, site.state.models)

    energy = EnergyObserver(machine.nvml, idle_power_w, machine.l2_bytes, options.subtract_idle)
    profile = ProfileObserver(machine.tracer(), predict, site.progress.note)
    every: list[Pass] = [
        TimingPass(site, checker, hardware, predict, options.timeout_s),
        ObserverPass("nvml", energy, site),
        ObserverPass("profile", profile, site),
        DramPass(site, machine.dram),
        CountedPass(site, machine.architecture),
    ]
    return [each for each in every if each.name not in options.skipped]


def idle_power(options: SessionOptions, machine: Machine, groups: list[Group]) -> Reading[float]:
    """Power of the GPU before anything is measured, where some pass will want it."""
    if "nvml" in options.skipped or not any(group.watched for group in groups):
        return Reading.missing("not_asked", "idle power: nothing is watched in this run")
    return measure_idle(machine.nvml)
