"""Two record files to one outcome."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sparq_perf.gate.assembling import Assembly, assemble_pairs, assemble_stored, expected_tests
from sparq_perf.gate.environments import BOARD, differences, fingerprint, settings_of
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.judging import judge
from sparq_perf.gate.known_cases import check_known_cases
from sparq_perf.gate.metrics import TITLES, Metric
from sparq_perf.gate.outcome import Outcome, Side, complete
from sparq_perf.gate.pairing import pair_up
from sparq_perf.gate.runs import ProcessRun, check_same_machine, read_runs
from sparq_perf.gate.settings import GateSettings
from sparq_perf.gate.verdicts import Method

# Standard deviation of the mean log ratio in A/A runs, by configuration and metric.
Spreads = Mapping[tuple[str, Metric], float]


def check(
    base: Path,
    candidate: Path,
    settings: GateSettings | None = None,
    *,
    method: Method | None = None,
    labels: tuple[str, str] | None = None,
    spreads: Spreads | None = None,
) -> Outcome:
    """The verdict on what two record files, or folders with a records.jsonl, hold.

    Runs that were made in turn are judged pair by pair. Others are judged as stored records: see `stored_test`.

    Args:
        base, candidate: what was measured of each revision; one run, or one for each process.
        settings: the defaults where None.
        method: how to judge them; by how they were made where None. Who measured pairs asks for ``paired``, so that
            runs that turn out to be no pairs are INVALID.
        labels: what base and candidate are called; their paths by default.
        spreads: measured A/A; where a configuration is not in it, the base's own processes show it.

    Raises:
        SparqPerfError: a file that cannot be read, believed or compared.
    """
    runs = read_runs(base), read_runs(candidate)
    labels = labels or (str(base), str(candidate))
    return check_runs(*runs, settings, method=method, labels=labels, spreads=spreads)


def check_runs(
    base: Sequence[ProcessRun],
    candidate: Sequence[ProcessRun],
    settings: GateSettings | None = None,
    *,
    method: Method | None = None,
    labels: tuple[str, str] = ("base", "candidate"),
    spreads: Spreads | None = None,
) -> Outcome:
    """The same of runs that were read already."""
    settings = GateSettings() if settings is None else settings
    check_known_cases(judge, Outcome)
    if not base or not candidate:
        raise GateError(f"{labels[0] if not base else labels[1]}: holds no runs: measure it first")
    for runs, label in ((base, labels[0]), (candidate, labels[1])):
        check_same_machine(runs, label)
    shared = {run.run_id for run in base} & {run.run_id for run in candidate}
    if shared:
        raise GateError(
            f"{labels[0]} and {labels[1]}: both hold run {sorted(shared)[0]}: give other measurements as candidate"
        )
    pairing = pair_up(base, candidate)
    if method is None:
        method = "paired" if len(pairing.pairs) >= settings.min_pairs else "stored"
    invalid, remarks = _environments(base[0], candidate[0], settings, method)
    if method == "paired":
        assembly = assemble_pairs(pairing.pairs, settings, spreads or {}, invalid)
        remarks += pairing.remarks
    else:
        assembly = assemble_stored(base, candidate, settings, invalid)
        remarks += (_why_stored(base, candidate, len(pairing.pairs), settings),)
    judgements = complete(judge(assembly.series, settings, method), expected_tests(base, settings))
    return Outcome(
        method=method,
        base=_side(base, labels[0]),
        candidate=_side(candidate, labels[1]),
        green=settings.green,
        judgements=judgements,
        remarks=(*remarks, *_uncompared(assembly, settings)),
    )


def _environments(
    base: ProcessRun, candidate: ProcessRun, settings: GateSettings, method: Method
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why nothing can be compared, and what a reader should know."""
    # Stored records may come from another board of the same kind: that is part of the noise assumed for jobs.
    tolerated = (BOARD,) if method == "stored" else ()
    there, here = settings_of(base.environment), settings_of(candidate.environment)
    unlike = differences(there, here, (*settings.may_differ, *tolerated))
    known = tuple(one for one in differences(there, here) if one not in unlike)
    remarks = tuple(f"{one}: allowed to differ" for one in known)
    if base.run.suite_sha256 != candidate.run.suite_sha256:
        remarks += (f"suite {base.run.suite} is not the same in base and candidate",)
    return tuple(f"different environment: {one}" for one in unlike), remarks


def _why_stored(
    base: Sequence[ProcessRun], candidate: Sequence[ProcessRun], n_pairs: int, settings: GateSettings
) -> str:
    return (
        f"judged as stored records: {len(base)} base and {len(candidate)} candidate runs make {n_pairs} pairs measured "
        f"in turn, {settings.min_pairs} are needed: noise of {settings.job_noise:.1%} between jobs is assumed and only "
        "large differences can be told; 'sparq-perf gate run' measures pairs"
    )


def _uncompared(assembly: Assembly, settings: GateSettings) -> Iterable[str]:
    """What was left out, and patterns in the settings that fit nothing."""
    for key, why in assembly.unmatched.items():
        yield f"{key}: {why}: there is nothing to compare it with"
    for metric, reasons in assembly.absent.items():
        for why, n in reasons.items():
            yield f"{TITLES[metric]}: not compared for {n} configurations, base does not have it: {why}"
    for key in assembly.excluded:
        yield f"{key}: excluded by the settings"
    for pattern in settings.idle_patterns([*assembly.keys, *assembly.excluded]):
        yield f"the settings' pattern {pattern!r} fits no configuration"


def _side(runs: Sequence[ProcessRun], label: str) -> Side:
    environment = runs[0].environment
    return Side(
        label=label,
        n_runs=len(runs),
        began=min(run.began for run in runs),
        ended=max(run.ended for run in runs),
        commits=tuple(dict.fromkeys(run.environment.commit for run in runs if run.environment.commit)),
        device=environment.device,
        fingerprint=fingerprint(environment),
    )
