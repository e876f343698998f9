"""Reasons told once, the GPU's state in words, and the plan of passes."""

from collections.abc import Iterable

import pytest

from sparq_perf.records.gpu_state import GpuState
from sparq_perf.records.reading import Absence, Reading
from sparq_perf.report.gpu_facts import _FIELDS, gpu_facts
from sparq_perf.report.reasons import Footnotes, merged
from sparq_perf.report.view import build_view


def only(items: Iterable[object]):
    (item,) = items
    return item


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["x", "y", "x"], [("x", 2), ("y", 1)]),
        (["takes 67 MB", "takes 1,074 MB", "takes 134 MB"], [("takes 67 to 1,074 MB", 3)]),
        (["2 of 10, 0.5", "3 of 10, 0.25"], [("2 to 3 of 10, 0.25 to 0.5", 2)]),
        # Names are not ranges.
        (["for sm_80", "for sm_90"], [("for sm_80", 1), ("for sm_90", 1)]),
        (["GPU-12 is gone", "GPU-34 is gone"], [("GPU-12 is gone", 1), ("GPU-34 is gone", 1)]),
        (["libx.so.1", "libx.so.2"], [("libx.so.1", 1), ("libx.so.2", 1)]),
        (["# and 1", "1 and #"], [("# and 1", 1), ("1 and #", 1)]),
        ([], []),
    ],
)
def test_reasons_that_differ_in_numbers_only_become_one(texts: list[str], told: list[tuple[str, int]]) -> None:
    found = merged({str(index): text for index, text in enumerate(texts)})
    assert [(reason.text, len(reason.keys)) for reason in found] == told


def test_footnotes_are_numbered_through_all_quantities() -> None:
    notes = Footnotes()
    notes.add("A", "k1", "why")
    notes.add("B", "k1", "why")
    notes.add("A", "k2", "why")
    told, number_of = notes.numbered()
    assert [(n.number, n.what, n.n) for n in told] == [(1, "A", 2), (2, "B", 1)]
    assert (number_of("A", "k2"), number_of("B", "k1"), number_of("B", "k2")) == (1, 2, None)


def test_a_state_that_is_absent_as_a_whole_is_one_line() -> None:
    facts = gpu_facts(GpuState.missing(Absence(kind="driver_missing", detail="libnvidia-ml.so.1 was not found")))
    assert facts.told == ()
    assert facts.summary == "all 20 NVML fields: driver missing: libnvidia-ml.so.1 was not found"


def test_every_field_has_a_name_and_a_unit(gpu) -> None:
    assert _FIELDS.keys() == GpuState.model_fields.keys()
    facts = gpu_facts(gpu.gpu_state(slowdowns=Reading.of(("software power cap", "hardware slowdown"))))
    told = dict(facts.told)
    assert told["Power limit"] == "700 W"
    assert told["SM clock"] == "1.98 GHz"
    assert told["Temperature"] == "41.0 °C"
    assert told["What holds the clock down"] == "software power cap and hardware slowdown"
    assert told["ECC"] == "on"
    assert told["Partitioning (MIG)"] == "off"
    assert told["Memory in use"] == "602 MiB"
    assert told["Memory errors corrected"] == "0"
    names, why = only(facts.untold)
    assert why == "not supported: this driver has no such field"
    assert len(names.split(" and ")) == 2
    assert facts.summary == "17 of 20 NVML fields told"


def test_the_plan_says_which_passes_were_made(gpu, records) -> None:
    view = build_view([gpu.run()])
    assert [(p.name, p.reason) for p in view.evidence.passes] == [
        ("correctness", None),
        ("timing", None),
        ("nvml", None),
        ("profile", None),
        ("counters", None),
        ("counted", "skipped, as asked on the command line"),
    ]
    assert only(view.provenance.runs).gpu_facts is not None
    assert view.evidence.n_runs == 1
    assert build_view([gpu.run(), gpu.run(resumed=True)]).evidence.n_runs == 2
    old = build_view([records.run()])
    assert old.evidence.passes == ()
    assert only(old.provenance.runs).gpu_facts is None
    assert [i.name for i in old.evidence.instruments] == ["torch.profiler", "nvml"]
    assert build_view([]).evidence.instruments == ()
