"""Readings that cannot be: values without a source, a source without values, parts that do not sum up."""

from typing import Any

import pytest
from pydantic import ValidationError

from sparq_perf.records.dram import RUNGS, DramKernel, DramReading, Rung
from sparq_perf.records.reading import Absence, Reading

WHY = Absence(kind="failed", detail="no reason")
KERNELS = (
    DramKernel(name="score", step="score", launches=1, read_bytes=70.0, write_bytes=1.0, l2_read_bytes=96.0),
    DramKernel(name="attend", step="gather", launches=2, read_bytes=30.0, write_bytes=4.0),
)


def rungs(used: str | None) -> tuple[Rung, ...]:
    """Absences down to the one used."""
    tried = RUNGS if used is None else RUNGS[: RUNGS.index(used)]  # type: ignore[arg-type]
    return tuple(Rung(name=name, used=name == used, absence=WHY if name in tried else None) for name in RUNGS)


def by_ncu(**fields: Any) -> DramReading:
    settings = {"total_bytes": 105.0, "read_bytes": 100.0, "write_bytes": 5.0, "kernels": KERNELS}
    return DramReading.measured("ncu", **{**settings, "rungs": rungs("ncu"), **fields})


@pytest.mark.parametrize(
    "reading",
    [
        by_ncu(),
        DramReading.measured("cupti", total_bytes=3.0, read_bytes=2.0, write_bytes=1.0, rungs=rungs("cupti")),
        DramReading.measured("gpm", total_bytes=3.0, rungs=rungs("gpm")),
        DramReading.missing(rungs(None)),
    ],
    ids=["ncu", "cupti", "gpm", "missing"],
)
def test_readings_survive_json(reading: DramReading) -> None:
    assert DramReading.model_validate_json(reading.model_dump_json()) == reading


def test_missing_joins_the_reasons() -> None:
    first = Absence(kind="library_missing", detail="not installed")
    reasons = (Rung(name="ncu", absence=first), *rungs(None)[1:])
    nothing = DramReading.missing(reasons)
    assert (nothing.source, nothing.kernels) == (None, ())
    assert (
        nothing.read_bytes
        == nothing.total_bytes
        == Reading(
            absence=Absence(kind="library_missing", detail="ncu: not installed; cupti: no reason; gpm: no reason")
        )
    )
    assert DramReading.missing(rungs(None)).total_bytes.absence == WHY


def test_missing_needs_reasons() -> None:
    with pytest.raises(ValueError, match="every rung must say why"):
        DramReading.missing(tuple(Rung(name=name) for name in RUNGS))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernels": ()}, "kernels come from ncu"),
        ({"write_bytes": None}, "has values for"),
        ({"total_bytes": 106.0}, "total bytes are 106.0 and their parts 105.0"),
        ({"read_bytes": 99.0, "total_bytes": 104.0}, "read bytes are 99.0 and their parts 100.0"),
        ({"write_bytes": 6.0, "total_bytes": 106.0}, "write bytes are 6.0 and their parts 5.0"),
        ({"read_bytes": -1.0}, "greater than or equal to 0"),
        ({"rungs": rungs("cupti")}, "source is ncu and the rungs used are"),
        ({"rungs": rungs(None)}, "source is ncu and the rungs used are"),
        ({"rungs": rungs("ncu")[::-1]}, "in this order"),
        ({"rungs": rungs("ncu")[:2]}, "in this order"),
    ],
)
def test_what_ncu_cannot_have_counted(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        by_ncu(**fields)


def test_kernels_are_ncus_alone() -> None:
    with pytest.raises(ValidationError, match="kernels come from ncu"):
        DramReading.measured(
            "cupti", total_bytes=105.0, read_bytes=100.0, write_bytes=5.0, kernels=KERNELS, rungs=rungs("cupti")
        )


def test_gpm_has_the_total_only() -> None:
    with pytest.raises(ValidationError, match="source gpm has values for"):
        DramReading.measured("gpm", total_bytes=3.0, read_bytes=2.0, write_bytes=1.0, rungs=rungs("gpm"))


def test_rungs_before_the_source_say_why() -> None:
    silent = (Rung(name="ncu"), Rung(name="cupti"), Rung(name="gpm", used=True))
    with pytest.raises(ValidationError, match="rungs ncu, cupti gave no counts and say not why"):
        DramReading.measured("gpm", total_bytes=3.0, rungs=silent)


def test_a_rung_is_used_or_absent() -> None:
    with pytest.raises(ValidationError, match="it must be one of the two"):
        Rung(name="ncu", used=True, absence=WHY)


def test_a_kernel_runs_at_least_once() -> None:
    with pytest.raises(ValidationError):
        DramKernel(name="k", launches=0, read_bytes=0.0, write_bytes=0.0)
