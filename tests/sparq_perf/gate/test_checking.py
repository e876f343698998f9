"""Two record files to one outcome, as a user gives them."""

from collections.abc import Callable
from typing import Any

import pytest

from sparq_perf.gate.checking import check
from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outcome import Outcome
from sparq_perf.gate.settings import GateSettings
from sparq_perf.records.dram import DramKernel, DramReading, Rung
from sparq_perf.records.reading import Absence, Reading

KEYS = {"a": 1e-3, "b": 2e-3}
NOT_MEASURED = Absence(kind="no_device", detail="no GPU")


def verdicts(outcome: Outcome) -> dict[tuple[str, str], str]:
    return {(one.key, one.metric): one.verdict for one in outcome.judgements}


def reasons(outcome: Outcome, key: str, metric: str = "time") -> str:
    (found,) = [one for one in outcome.judgements if (one.key, one.metric) == (key, metric)]
    return "; ".join(found.reasons)


def test_the_same_code(runs: Any) -> None:
    outcome = check(*runs.abba(KEYS, KEYS))
    assert outcome.method == "paired"
    assert verdicts(outcome) == {("a", "time"): "SAME", ("b", "time"): "SAME"}
    assert outcome.exit_code == 0
    assert (outcome.base.n_runs, outcome.candidate.n_runs) == (8, 8)
    assert outcome.base.device == "Test CPU"
    # What neither run measured is said, not passed over.
    assert "energy: not compared for 2 configurations, base does not have it: no energy was recorded" in outcome.remarks


def test_a_suspicion_then_its_confirmation(runs: Any) -> None:
    slower = {**KEYS, "b": 2.2e-3}
    outcome = check(*runs.abba(KEYS, slower))
    assert verdicts(outcome) == {("a", "time"): "SAME", ("b", "time"): "AMBIGUOUS"}
    assert (outcome.exit_code, outcome.wanting) == (2, ("b",))

    base, candidate = check_files(runs, ["b"], slower)
    outcome = check(base, candidate)
    assert verdicts(outcome) == {("a", "time"): "SAME", ("b", "time"): "REGRESSED"}
    assert (outcome.exit_code, outcome.wanting) == (1, ())
    (regressed,) = [one for one in outcome.judgements if one.verdict == "REGRESSED"]
    assert regressed.evidence is not None
    assert regressed.evidence.effect == pytest.approx(0.1, abs=0.005)


def check_files(runs: Any, again: list[str], candidate: dict[str, float]) -> Any:
    """Eight pairs of everything, then eight fresh pairs of some."""
    runs.folder = runs.folder / "again"
    arms: tuple[list[Any], list[Any]] = ([], [])
    for index in range(16):
        keys = KEYS if index < 8 else again
        for is_candidate in (index % 2 == 1, index % 2 == 0):
            times = candidate if is_candidate else KEYS
            noise = 1 + 0.001 * (index % 3) * (1 if is_candidate else -1)
            arms[is_candidate].append(runs.process({key: times[key] * noise for key in keys}))
    return runs.write("base.jsonl", *arms[0]), runs.write("candidate.jsonl", *arms[1])


def test_a_configuration_that_the_candidate_lost(runs: Any) -> None:
    outcome = check(*runs.abba(KEYS, {"a": 1e-3}))
    assert verdicts(outcome)["b", "time"] == "INVALID"
    assert reasons(outcome, "b") == "candidate has no time in 8 of 8 runs: the configuration is missing"
    assert outcome.exit_code == 2


def test_a_configuration_that_the_candidate_lost_in_one_run(runs: Any) -> None:
    base, candidate = runs.abba(KEYS, KEYS)
    lines = candidate.read_text().splitlines(keepends=True)
    candidate.write_text("".join([*lines[:2], *lines[3:]]))  # the first run's b
    outcome = check(base, candidate)
    assert reasons(outcome, "b") == "candidate has no time in 1 of 8 runs: the configuration is missing"


def test_a_candidate_that_fails(runs: Any) -> None:
    outcome = check(*runs.abba(KEYS, {**KEYS, "b": None}))
    assert verdicts(outcome)["b", "time"] == "INVALID"
    assert reasons(outcome, "b") == "candidate: failed: out of memory"


def test_a_candidate_that_is_wrong(runs: Any) -> None:
    wrong = {"status": "invalid", "reasons": ("wrong",), "max_error": 1.0, "error_tolerance": 1e-3}
    outcome = check(*runs.abba(KEYS, KEYS, measurement=wrong))
    assert set(verdicts(outcome).values()) == {"INVALID"}
    assert reasons(outcome, "a") == "candidate: wrong: differs from the float64 reference by 1, 0.001 is allowed"


def test_what_failed_in_base_alone_has_nothing_to_be_compared_with(runs: Any) -> None:
    outcome = check(*runs.abba({**KEYS, "b": None}, KEYS))
    assert verdicts(outcome) == {("a", "time"): "SAME"}
    assert "b: works in candidate only; in base: failed: out of memory: there is nothing to compare it with" in (
        outcome.remarks
    )
    both = {**KEYS, "b": None}
    runs.folder = runs.folder / "both"
    outcome = check(*runs.abba(both, both))
    assert verdicts(outcome)["b", "time"] == "INVALID"


def test_a_new_configuration_is_said_and_not_judged(runs: Any) -> None:
    outcome = check(*runs.abba({"a": 1e-3}, KEYS))
    assert verdicts(outcome) == {("a", "time"): "SAME"}
    assert "b: only in candidate: there is nothing to compare it with" in outcome.remarks
    assert outcome.exit_code == 0


def test_throttled_processes_are_left_out(runs: Any) -> None:
    base, candidate = runs.abba(KEYS, KEYS)
    mark_invalid(candidate, 2, "throttled: heat")
    outcome = check(base, candidate)
    assert reasons(outcome, "a") == "2 of 8 pairs of processes left out: throttled: heat"
    assert verdicts(outcome)["a", "time"] == "SAME"
    mark_invalid(candidate, 3, "throttled: heat")
    outcome = check(base, candidate)
    assert verdicts(outcome)["a", "time"] == "INVALID"
    assert reasons(outcome, "a") == "too few samples: 3 of 8 pairs of processes are not valid: throttled: heat"


NOISY_MEDIAN = "noisy: the median is known to ±12%, ±10% is allowed"


def test_medians_that_are_noisy_and_nothing_worse_count_in_pairs(runs: Any) -> None:
    """Pairs show how far medians scatter; without pairs nothing does."""
    base, candidate = runs.abba(KEYS, KEYS)
    mark_invalid(candidate, 8, NOISY_MEDIAN)
    outcome = check(base, candidate)
    assert verdicts(outcome)["a", "time"] == "SAME"
    assert reasons(outcome, "a") == ""
    mark_invalid(candidate, 8, NOISY_MEDIAN, "throttled: heat")
    assert verdicts(check(base, candidate))["a", "time"] == "INVALID"
    mark_invalid(candidate, 8, NOISY_MEDIAN)
    assert verdicts(check(base, candidate, method="stored"))["a", "time"] == "INVALID"


def mark_invalid(path: Any, n: int, *why: str) -> None:
    import json

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    chosen = [line for line in lines if line.get("key") == "a"][:n]
    for line in chosen:
        line |= {"status": "invalid", "reasons": list(why)}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"n_threads": 4}, "n_threads is 2 in base and 4 in candidate"),
        ({"device": "Other CPU"}, "device is Test CPU in base and Other CPU in candidate"),
        ({"versions": {"torch": "2.10"}}, "versions.torch is 2.9.0 in base and 2.10 in candidate"),
        ({"python": "3.12.1"}, "python is 3.11.9 in base and 3.12.1 in candidate"),
    ],
)
def test_different_environments(runs: Any, environment: dict[str, Any], told: str) -> None:
    files = runs.abba(KEYS, KEYS, environment=environment)
    outcome = check(*files)
    assert set(verdicts(outcome).values()) == {"INVALID"}
    assert reasons(outcome, "a") == f"different environment: {told}"
    assert outcome.exit_code == 2
    setting = told.split()[0]
    allowed = check(*files, GateSettings(may_differ=(f"{setting[:5]}*",)))
    assert allowed.exit_code == 0
    assert f"{told}: allowed to differ" in allowed.remarks


@pytest.mark.parametrize(
    "environment",
    [
        {"load_average": 1.5},
        {"commit": "0123abc"},
        {"versions": {"torch": "2.9.0", "pydantic": "3"}},
        {"memory_bytes": 8.01e9},
    ],
)
def test_environments_that_are_the_same(runs: Any, environment: dict[str, Any]) -> None:
    assert check(*runs.abba(KEYS, KEYS, environment=environment)).exit_code == 0


def test_machines_mixed_in_one_file(runs: Any, one_line: Callable[[BaseException], str]) -> None:
    here, there = runs.process(KEYS), runs.process(KEYS, environment={"n_threads": 4})
    mixed, good = runs.write("mixed.jsonl", here, there), runs.write("good.jsonl", runs.process(KEYS))
    with pytest.raises(GateError) as refused:
        check(mixed, good)
    assert "n_threads is 2 in run run-001 and 4 in run run-002: give one file for each" in one_line(refused.value)


def test_the_same_runs_on_both_sides(runs: Any) -> None:
    path = runs.write("records.jsonl", runs.process(KEYS))
    with pytest.raises(GateError, match="both hold run run-001"):
        check(path, path)


def test_different_timers_are_not_compared(runs: Any) -> None:
    outcome = check(*runs.abba(KEYS, KEYS, measurement={"timer": "cuda_graph"}))
    assert reasons(outcome, "a") == "measured by different means: timer perf_counter; timer cuda_graph"
    assert outcome.exit_code == 2


def test_other_metrics(runs: Any, lines: Any) -> None:
    def seen(factor: float) -> Any:
        def more(stamp: dict[str, Any], key: str) -> list[Any]:
            kernel = DramKernel(name="k", launches=1, read_bytes=900 * factor, write_bytes=100 * factor)
            rungs = (Rung(name="ncu", used=True), Rung(name="cupti"), Rung(name="gpm"))
            reading = DramReading.measured(
                "ncu", total_bytes=1000 * factor, read_bytes=900 * factor, write_bytes=100 * factor,
                kernels=(kernel,), rungs=rungs,
            )  # fmt: skip
            energy = lines.energy(**stamp, key=key, counter_j=Reading.of(0.6 * factor))
            return [energy, lines.dram(reading, **stamp, key=key)]

        return more

    arms: tuple[list[Any], list[Any]] = ([], [])
    for index in range(8):
        for is_candidate in (index % 2 == 1, index % 2 == 0):
            predicted = (0.5e-3, 1.1e-3, 2e-3) if not is_candidate else (0.5e-3, 1.3e-3, 2e-3)
            factor = (0.9 if is_candidate else 1.0) * (1 + 1e-4 * (index % 3))
            arms[is_candidate].append(
                runs.process({"a": 1e-3}, measurement={"predicted": predicted}, more=seen(factor))
            )
    files = runs.write("base.jsonl", *arms[0]), runs.write("candidate.jsonl", *arms[1])
    outcome = check(*files, GateSettings(confirm=False))
    assert verdicts(outcome) == {
        ("a", "time"): "SAME",
        ("a", "energy"): "IMPROVED",
        ("a", "dram_bytes"): "IMPROVED",
        ("a", "prediction_error"): "REGRESSED",
    }
    (error,) = [one for one in outcome.judgements if one.metric == "prediction_error"]
    assert error.evidence is not None
    # Predicted 1.1 and 1.3 times the measured time.
    assert error.evidence.base == pytest.approx(1.1, rel=1e-3)
    assert error.evidence.effect == pytest.approx(1.3 / 1.1 - 1, rel=1e-3)
    only = check(*files, GateSettings(confirm=False, metrics=("time",)))
    assert list(verdicts(only)) == [("a", "time")]


def test_a_metric_that_the_candidate_lost(runs: Any, lines: Any) -> None:
    def energy(absence: Absence | None = None) -> Any:
        return lambda stamp, key: [lines.energy(**stamp, key=key, **({"absence": absence} if absence else {}))]

    arms: tuple[list[Any], list[Any]] = ([], [])
    for _ in range(8):
        arms[0].append(runs.process({"a": 1e-3}, more=energy()))
        arms[1].append(runs.process({"a": 1e-3}, more=energy(NOT_MEASURED)))
    outcome = check(runs.write("base.jsonl", *arms[0]), runs.write("candidate.jsonl", *arms[1]))
    assert verdicts(outcome) == {("a", "time"): "SAME", ("a", "energy"): "INVALID"}
    assert reasons(outcome, "a", "energy") == "candidate has no energy in 8 of 8 runs: no device: no GPU"
    assert any("base ran first in every pair" in remark for remark in outcome.remarks)


def test_single_runs_are_judged_as_stored(runs: Any) -> None:
    base = runs.write("base.jsonl", runs.process({"a": 1e-3, "b": 1e-3, "c": 1e-3}))
    candidate = runs.write("candidate.jsonl", runs.process({"a": 1.05e-3, "b": 1.13e-3, "c": 1.5e-3}))
    outcome = check(base, candidate)
    assert outcome.method == "stored"
    assert verdicts(outcome) == {("a", "time"): "SAME", ("b", "time"): "AMBIGUOUS", ("c", "time"): "REGRESSED"}
    assert outcome.wanting == ()
    (told,) = [remark for remark in outcome.remarks if remark.startswith("judged as stored records")]
    assert "1 base and 1 candidate runs make 1 pairs measured in turn, 6 are needed" in told


def test_runs_of_one_revision_after_the_others_are_no_pairs(runs: Any) -> None:
    base = runs.write("base.jsonl", *(runs.process(KEYS) for _ in range(8)))
    candidate = runs.write("candidate.jsonl", *(runs.process(KEYS) for _ in range(8)))
    assert check(base, candidate).method == "stored"


def test_who_measured_pairs_gets_no_other_verdict(runs: Any) -> None:
    base = runs.write("base.jsonl", *(runs.process(KEYS) for _ in range(8)))
    candidate = runs.write("candidate.jsonl", *(runs.process(KEYS) for _ in range(8)))
    outcome = check(base, candidate, method="paired")
    assert set(verdicts(outcome).values()) == {"INVALID"}
    assert "too few samples: 1 valid pairs" in reasons(outcome, "a")


def test_an_odd_run_is_left_out(runs: Any) -> None:
    base, candidate = runs.abba(KEYS, KEYS)
    extra = runs.process(KEYS)
    base = runs.write("base.jsonl", extra)  # appended
    outcome = check(base, candidate)
    assert outcome.method == "paired"
    assert "1 runs stand in no pair and are not used" in outcome.remarks


def test_excluded_and_misspelt(runs: Any) -> None:
    files = runs.abba(KEYS, {"a": 1e-3})
    outcome = check(*files, GateSettings(exclude=("b", "c*")))
    assert verdicts(outcome) == {("a", "time"): "SAME"}
    assert "b: excluded by the settings" in outcome.remarks
    assert "the settings' pattern 'c*' fits no configuration" in outcome.remarks


def test_nothing_left_to_judge_is_no_pass(runs: Any) -> None:
    outcome = check(*runs.abba(KEYS, KEYS), GateSettings(exclude=("*",)))
    assert outcome.judgements == ()
    assert outcome.exit_code == 2


def test_what_is_allowed_passes(runs: Any) -> None:
    files = runs.abba(KEYS, {"a": 1e-3})
    assert check(*files, GateSettings(allow=("INVALID",))).exit_code == 0
    assert check(*files, GateSettings(allow=("AMBIGUOUS",))).exit_code == 2


def test_spreads_measured_a_a(runs: Any) -> None:
    outcome = check(*runs.abba(KEYS, KEYS), spreads={("a", "time"): 0.02})
    floors = {one.key: one.first.floor for one in outcome.judgements if one.first}
    assert floors["a"] == pytest.approx(0.0618, abs=1e-4)
    assert floors["b"] == 0.02


def test_another_board_of_the_same_kind(runs: Any) -> None:
    from sparq_perf.records.environment import Gpu

    def gpu(uuid: str) -> dict[str, Any]:
        board = Gpu(uuid=uuid, driver="580", compute_capability="9.0", n_multiprocessors=132, memory_bytes=8e10,
                    l2_bytes=5e7, cuda="13.0", host="EPYC")  # fmt: skip
        return {"device_kind": "gpu", "gpu": board}

    one, other = runs.process(KEYS, environment=gpu("GPU-1")), runs.process(KEYS, environment=gpu("GPU-2"))
    stored = check(runs.write("one.jsonl", one), runs.write("other.jsonl", other))
    assert stored.exit_code == 0
    assert "gpu.uuid is GPU-1 in base and GPU-2 in candidate: allowed to differ" in stored.remarks
    assert stored.base.fingerprint == stored.candidate.fingerprint
