"""Which rung counts what, with the reasons of those before it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sparq_perf.measure.dram import DramLadder, DramSubject, cpu_rungs
from sparq_perf.measure.dram import ladder as ladder_module
from sparq_perf.measure.dram.subjects import DramCounts
from sparq_perf.records.dram import RUNGS, DramKernel, DramReading, Rung
from sparq_perf.records.reading import Absence
from sparq_profiles import ConfigError

Make = Callable[..., DramSubject]

BY_NCU = DramCounts(
    110.0, 100.0, 10.0, (DramKernel(name="attend", step="attend", launches=1, read_bytes=100.0, write_bytes=10.0),)
)
BY_CUPTI, BY_GPM = DramCounts(220.0, 200.0, 20.0), DramCounts(300.0)
NO_NCU = Absence(kind="library_missing", detail="ncu is not there")
LATE = Absence(kind="failed", detail="ncu was late")
FORBIDDEN = Absence(kind="no_permission", detail="administrators only")
TORN = Absence(kind="failed", detail="samples were lost")


class FakeNcu:
    detail = "ncu 2025.1, /opt/ncu"

    def __init__(self, *answers: DramCounts | Absence) -> None:
        self.answers, self.refused = answers, None

    def refusal(self) -> Absence | None:
        return self.refused

    def count(self, subjects: Sequence[DramSubject]) -> Sequence[DramCounts | Absence]:
        return self.answers if len(self.answers) == len(subjects) else self.answers * len(subjects)


class FakeCounter:
    """Answers in turn, the last for ever; ``counted`` are the subjects that it was given."""

    def __init__(self, name: str, *answers: DramCounts | Absence, refused: Absence | None = None) -> None:
        self.detail, self.answers, self.refused = f"{name} 1.0", list(answers), refused
        self.counted: list[tuple[str, Any]] = []

    def refusal(self) -> Absence | None:
        return self.refused

    def count(self, subject: DramSubject, calls: Any) -> DramCounts | Absence:
        self.counted.append((subject.key, calls))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def make_ladder(ncu: FakeNcu, cupti: FakeCounter, gpm: FakeCounter) -> DramLadder:
    return DramLadder("GPU-1", 0, ncu=ncu, in_process={"cupti": cupti, "gpm": gpm})


def absences(reading: DramReading) -> dict[str, str | None]:
    return {rung.name: None if rung.absence is None else rung.absence.detail for rung in reading.rungs}


def test_ncu_serves_all(subject: Make, opened: Any) -> None:
    cupti, gpm = FakeCounter("cupti", BY_CUPTI), FakeCounter("gpm", BY_GPM)
    subjects = [subject(key="a"), subject(key="b")]
    found = list(make_ladder(FakeNcu(BY_NCU), cupti, gpm).measure(subjects, opened))
    assert [one for one, _ in found] == subjects
    reading = found[1][1]
    assert (reading.source, reading.read_bytes.value, reading.write_bytes.value, reading.total_bytes.value) == (
        "ncu", 100.0, 10.0, 110.0,
    )  # fmt: skip
    assert reading.kernels == BY_NCU.kernels
    assert reading.rungs == (
        Rung(name="ncu", used=True, detail="ncu 2025.1, /opt/ncu"),
        Rung(name="cupti"),
        Rung(name="gpm"),
    )
    assert opened.keys == cupti.counted == []


def test_each_subject_falls_by_itself(subject: Make, opened: Any) -> None:
    cupti = FakeCounter("cupti", BY_CUPTI, TORN)
    gpm = FakeCounter("gpm", BY_GPM)
    ladder = make_ladder(FakeNcu(LATE, BY_NCU, LATE), cupti, gpm)
    found = dict(ladder.measure([subject(key="a"), subject(key="b"), subject(key="c")], opened))
    readings = {one.key: reading for one, reading in found.items()}
    assert {key: reading.source for key, reading in readings.items()} == {"a": "cupti", "b": "ncu", "c": "gpm"}
    assert absences(readings["a"]) == {"ncu": "ncu was late", "cupti": None, "gpm": None}
    assert absences(readings["c"]) == {"ncu": "ncu was late", "cupti": "samples were lost", "gpm": None}
    assert readings["a"].rungs[1] == Rung(name="cupti", used=True, detail="cupti 1.0")
    # GPM has the total only, and says why.
    assert readings["c"].total_bytes.value == 300.0
    assert readings["c"].read_bytes.absence == readings["c"].write_bytes.absence
    assert "together" in str(readings["c"].read_bytes.absence)
    assert opened.keys == ["a", "c"]
    assert gpm.counted == [("c", opened.calls)]


def test_all_reasons_where_none_counts(subject: Make, opened: Any) -> None:
    ladder = make_ladder(FakeNcu(NO_NCU), FakeCounter("cupti", BY_CUPTI, refused=FORBIDDEN), FakeCounter("gpm", TORN))
    ((_, reading),) = ladder.measure([subject()], opened)
    assert reading.source is None
    assert reading.total_bytes.absence == Absence(
        kind="library_missing",
        detail="ncu: ncu is not there; cupti: administrators only; gpm: samples were lost",
    )
    assert [rung.absence for rung in reading.rungs] == [NO_NCU, FORBIDDEN, TORN]


def test_no_cache_is_built_for_rungs_that_refuse(subject: Make, opened: Any) -> None:
    cupti = FakeCounter("cupti", BY_CUPTI, refused=FORBIDDEN)
    ladder = make_ladder(FakeNcu(NO_NCU), cupti, FakeCounter("gpm", BY_GPM, refused=FORBIDDEN))
    list(ladder.measure([subject(), subject()], opened))
    assert opened.keys == cupti.counted == []


def test_a_lasting_reason_is_not_asked_for_twice(subject: Make, opened: Any) -> None:
    cupti, gpm = FakeCounter("cupti", FORBIDDEN), FakeCounter("gpm", TORN, BY_GPM)
    ladder = make_ladder(FakeNcu(NO_NCU), cupti, gpm)
    first, second = (reading for _, reading in ladder.measure([subject(key="a"), subject(key="b")], opened))
    assert (first.source, second.source) == (None, "gpm")
    assert [key for key, _ in cupti.counted] == ["a"]
    assert [key for key, _ in gpm.counted] == ["a", "b"]
    assert absences(second) == {"ncu": "ncu is not there", "cupti": "administrators only", "gpm": None}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA error: out of memory\nmore"), "out of memory: CUDA error: out of memory"),
        (ConfigError("decode: x takes no such cache"), "decode: x takes no such cache"),
    ],
)
def test_calls_that_cannot_be_opened(error: Exception, words: str, subject: Make, opened: Any) -> None:
    opened.fails = error
    ladder = make_ladder(FakeNcu(LATE), FakeCounter("cupti", BY_CUPTI), FakeCounter("gpm", BY_GPM))
    ((_, reading),) = ladder.measure([subject()], opened)
    assert reading.source is None
    assert absences(reading) == {
        "ncu": "ncu was late",
        "cupti": f"no calls in this process: {words}",
        "gpm": f"no calls in this process: {words}",
    }


def test_a_defect_is_not_a_reason(subject: Make, opened: Any) -> None:
    opened.fails = RuntimeError("shape mismatch")
    ladder = make_ladder(FakeNcu(LATE), FakeCounter("cupti", BY_CUPTI), FakeCounter("gpm", BY_GPM))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(ladder.measure([subject()], opened))


def test_a_cold_call_that_reads_nothing_was_not_counted(subject: Make, opened: Any) -> None:
    nothing = DramCounts(10.0, 0.0, 10.0, (DramKernel(name="k", launches=1, read_bytes=0.0, write_bytes=10.0),))
    ladder = make_ladder(FakeNcu(nothing), FakeCounter("cupti", BY_CUPTI), FakeCounter("gpm", BY_GPM))
    cold, warm = (r for _, r in ladder.measure([subject(), subject(cache_state="warm")], opened))
    assert cold.source == "cupti"
    assert cold.rungs[0].absence is not None
    assert cold.rungs[0].absence.kind == "no_change"
    # A warm call may find all of its cache in the L2.
    assert (warm.source, warm.read_bytes.value) == ("ncu", 0.0)


def test_probing_counts_nothing(opened: Any) -> None:
    ncu, cupti, gpm = FakeNcu(), FakeCounter("cupti", refused=FORBIDDEN), FakeCounter("gpm")
    ncu.refused = NO_NCU
    assert make_ladder(ncu, cupti, gpm).probe() == (
        Rung(name="ncu", absence=NO_NCU, detail="ncu 2025.1, /opt/ncu"),
        Rung(name="cupti", absence=FORBIDDEN, detail="cupti 1.0"),
        Rung(name="gpm", detail="gpm 1.0"),
    )
    assert cupti.counted == gpm.counted == []


def test_nothing_to_measure(opened: Any) -> None:
    ladder = make_ladder(FakeNcu(), FakeCounter("cupti", BY_CUPTI), FakeCounter("gpm", BY_GPM))
    assert list(ladder.measure([], opened)) == []


def test_the_real_rungs_in_their_order() -> None:
    probed = DramLadder(None, 0).probe()
    assert tuple(rung.name for rung in probed) == RUNGS
    assert not any(rung.used for rung in probed)
    gpm = probed[2].absence
    assert gpm is not None  # whatever machine this is: torch told no UUID
    assert (gpm.kind, "UUID" in gpm.detail) == ("not_supported", True)


def test_on_a_cpu_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Ncu", "CuptiPmSampling", "Gpm"):
        monkeypatch.setattr(ladder_module, name, None)
    rungs = cpu_rungs()
    reading = DramReading.missing(rungs)
    assert reading.total_bytes.absence == Absence(
        kind="not_supported", detail="DRAM counters are read on NVIDIA GPUs only: the bytes of a CPU run are analytic"
    )
