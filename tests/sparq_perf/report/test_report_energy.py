"""Energy, power over time and throttling, from loops whose numbers can be worked out on paper."""

from collections.abc import Iterable

import pytest

from sparq_perf.records.reading import Absence, Reading
from sparq_perf.report.charts import build_charts
from sparq_perf.report.view import build_view
from sparq_profiles import AttentionShape, SparqConfig

R16, R32 = SparqConfig(16, 64, 16), SparqConfig(32, 128, 32)
SHAPE = AttentionShape(4, 4096, 32, 32, 128, "float16")
CAP = "software power cap"


def only(items: Iterable[object]):
    (item,) = items
    return item


def rows_of(view):
    return {row.label: row for row in only(view.energies.groups).rows}


@pytest.fixture
def trio(gpu):
    return [
        gpu.measurement("dense-triton", SHAPE),
        gpu.measurement("dense-sdpa-flash", SHAPE),
        gpu.measurement("sparq-triton", SHAPE, R32),
    ]


def test_dense_beside_sparq_by_step_and_token(gpu, trio) -> None:
    triton, flash, sparq = trio
    lines = [*trio, gpu.energy(triton, 0.6, 0.58), gpu.energy(flash, 0.4, 0.5), gpu.energy(sparq, 0.1, 0.09)]
    view = build_view(lines)
    rows = rows_of(view)
    row = rows["sparq-triton, r\u00a032, k\u00a0128"]
    # The least dense energy by the same method, 0.4 J, though the integral says otherwise.
    assert row.ratio.value == pytest.approx(4.0)
    assert (row.ratio.dense, row.ratio.method) == ("dense-sdpa-flash", "counter")
    assert row.per_token_j == pytest.approx(0.1 / 4)
    assert rows["dense-triton"].ratio is None
    assert view.energies.sentence.startswith("Dense over SparQ energy is 4.00×: sparq-triton")
    assert view.energies.idle == "Idle power, 68.0 W before the run, was not subtracted from energies."
    assert view.energies.notes == ()


def test_integrals_are_compared_where_a_counter_is_missing(gpu, trio) -> None:
    triton, flash, sparq = trio
    lines = [*trio, gpu.energy(triton, 0.6, 0.5), gpu.energy(flash, 0.4), gpu.energy(sparq, None, 0.25)]
    view = build_view(lines)
    row = rows_of(view)["sparq-triton, r\u00a032, k\u00a0128"]
    assert (row.ratio.value, row.ratio.dense, row.ratio.method) == (2.0, "dense-triton", "integral")
    assert row.counter_j is None
    assert row.per_token_j == pytest.approx(0.25 / 4)
    notes = {note.number: note for note in view.energies.notes}
    assert notes[row.notes["counter_j"]].what == "Energy by the counter"
    assert notes[row.notes["counter_j"]].text == "no change: the counter did not rise in 2.2 s"


@pytest.mark.parametrize("unlike", [{"caches": "warm"}, {"idle_subtracted": True}])
def test_unlike_loops_have_no_ratio(gpu, trio, unlike) -> None:
    dense, _, sparq = trio
    view = build_view([*trio, gpu.energy(dense, 0.4), gpu.energy(sparq, 0.1, **unlike)])
    row = rows_of(view)["sparq-triton, r\u00a032, k\u00a0128"]
    assert row.ratio is None
    assert view.energies.sentence == ""
    assert row.caches_differ == ("caches" in unlike)
    assert (view.energies.idle == "") == ("idle_subtracted" in unlike)


def test_an_invalid_measurement_enters_no_ratio(gpu, trio) -> None:
    dense = trio[0]
    wrong = gpu.measurement("dense-sdpa-flash", SHAPE, status="invalid", reasons=["wrong: differs"])
    noisy = gpu.measurement("sparq-triton", SHAPE, R32, status="invalid", reasons=["noisy"])
    good = gpu.measurement("sparq-triton", SHAPE, R16)
    lines = [dense, wrong, noisy, good]
    lines += [gpu.energy(m, joules) for m, joules in zip(lines, (0.4, 0.01, 0.05, 0.1), strict=True)]
    rows = rows_of(build_view(lines))
    assert rows["sparq-triton, r\u00a016, k\u00a064"].ratio.value == pytest.approx(4.0)
    assert rows["sparq-triton, r\u00a032, k\u00a0128"].ratio is None
    assert rows["sparq-triton, r\u00a032, k\u00a0128"].status == "invalid"


def test_absent_loops_are_counted_by_reason(gpu, trio) -> None:
    view = build_view([gpu.run(), *trio, *(gpu.no_energy(m) for m in trio[:2])])
    assert view.energies.groups == ()
    assert view.energies.absent is not None
    assert [(n.what, n.text, n.n) for n in view.energies.notes] == [
        ("Energy", "not asked: the suite does not ask for it here", 2),
        ("Energy", "this run holds no such record", 1),
    ]
    assert ("Energy (2 of 3 measurements)", "not asked: the suite does not ask for it here") in view.not_measured


def test_without_records_the_plan_or_the_instrument_says_why(gpu, records) -> None:
    from sparq_perf.records.schema import PlannedPass

    run = records.run()
    assert build_view([run]).energies.absent == "Energy was not measured: no NVIDIA driver here."
    skipped = run.model_copy(update={"passes": (PlannedPass(name="nvml", made=False, reason="skipped, as asked"),)})
    assert build_view([skipped]).energies.absent == "Energy was not measured: skipped, as asked."
    assert build_view([]).energies.absent == "Energy was not measured: this run holds no such record."


def test_how_long_the_clock_was_held_down(gpu, trio) -> None:
    dense, flash, sparq = trio
    untold = gpu.telemetry()
    untold = untold.model_copy(
        update={"absences": {**untold.absences, "slowdowns": Absence(kind="not_supported", detail="an old driver")}}
    )
    lines = [
        gpu.energy(dense, 0.4, throttled_s={CAP: 0.5, "hardware slowdown": 1.0}, telemetry=gpu.telemetry()),
        gpu.energy(flash, 0.4, telemetry=gpu.telemetry()),
        gpu.energy(sparq, 0.1, telemetry=untold),
    ]
    rows = rows_of(build_view([*trio, *lines]))
    assert rows["dense-triton"].throttled_s == (("hardware slowdown", 1.0), (CAP, 0.5))
    assert rows["dense-sdpa-flash"].throttled_s == ()
    assert rows["sparq-triton, r\u00a032, k\u00a0128"].throttled_s is None


def test_a_timeline_has_a_track_for_each_quantity_in_its_unit(gpu, trio) -> None:
    run = gpu.run()
    telemetry = gpu.telemetry(
        (0.0, 0.5, 1.0),
        power_instant_w=(100.0, None, 650.0),
        power_average_w=(90.0, 95.0, 99.0),
        sm_clock_hz=(1.98e9, 1.98e9, 1.5e9),
    )
    energy = gpu.energy(trio[0], 0.4, telemetry=telemetry)
    view = build_view([run, *trio, energy])
    timeline = only(view.timelines.items)
    power, clock = timeline.tracks
    assert [(c.name, c.dash, c.values) for c in power.curves] == [
        ("power now", "solid", (100.0, None, 650.0)),
        ("power, averaged by the driver", "dot", (90.0, 95.0, 99.0)),
    ]
    assert power.limit == ("power limit", 700.0)
    assert (clock.title, clock.unit, only(clock.curves).values) == ("SM clock", "MHz", (1980, 1980, 1500))
    assert clock.limit == ("highest clock", pytest.approx(1980.0))
    assert [(note.what, note.n) for note in view.timelines.notes] == [("Temperature", 1)]
    figure = only(build_charts(view).timelines).figure
    assert [trace["yaxis"] for trace in figure["data"]] == ["y", "y", "y", "y2", "y2"]
    tops, bottoms = figure["layout"]["yaxis"]["domain"], figure["layout"]["yaxis2"]["domain"]
    assert bottoms[0] == 0
    assert bottoms[1] < tops[0] < tops[1] == 1
    assert figure["layout"]["shapes"] == []


def test_stretches_of_throttling_are_marked(gpu, trio) -> None:
    heat = "software thermal slowdown"
    telemetry = gpu.telemetry(
        (0.0, 0.5, 1.0, 1.5, 2.0, 2.5), slowdowns=[(CAP,), (CAP,), (CAP,), (), (CAP, heat), ()], sm_clock_hz=(1e9,) * 6
    )
    view = build_view([*trio, gpu.energy(trio[0], 0.4, telemetry=telemetry)])
    held = only(view.timelines.items).held
    assert [(h.from_s, h.to_s, h.causes) for h in held] == [(0.0, 1.0, (CAP,)), (1.5, 2.0, (CAP, heat))]
    figure = only(build_charts(view).timelines).figure
    assert [(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"]] == [(0.0, 1.0), (1.5, 2.0)]
    texts = figure["data"][0]["hovertext"]
    assert [f"held down: {CAP}" in text for text in texts] == [True, True, True, False, True, False]
    assert heat in texts[4]


def test_a_series_that_ended_early_says_when(gpu, trio) -> None:
    telemetry = gpu.telemetry((0.0, 0.5, 1.0), power_instant_w=(100.0, 120.0, None), sm_clock_hz=(1e9, 1e9, 1e9))
    lost = Absence(kind="gpu_lost", detail="the GPU fell off the bus")
    telemetry = telemetry.model_copy(update={"absences": {**telemetry.absences, "power_instant_w": lost}})
    notes = build_view([*trio, gpu.energy(trio[0], 0.4, telemetry=telemetry)]).timelines.notes
    assert ("Power now", "from 500 ms on: gpu lost: the GPU fell off the bus") in [(n.what, n.text) for n in notes]


def test_too_few_samples_draw_nothing(gpu, trio) -> None:
    telemetry = gpu.telemetry((0.0,), power_instant_w=(100.0,))
    view = build_view([*trio, gpu.energy(trio[0], 0.4, telemetry=telemetry), gpu.energy(trio[1], 0.4)])
    assert view.timelines.items == ()
    assert "No loop was sampled over time" in view.timelines.absent


def test_an_energy_chart_has_bars_by_both_methods_and_says_what_is_missing(gpu, trio) -> None:
    dense, flash, sparq = trio
    lines = [*trio, gpu.energy(dense, 0.4, 0.38), gpu.energy(flash, None, 0.5), gpu.energy(sparq, 0.1, 0.09)]
    figure = only(build_charts(build_view(lines)).energies).figure
    bars = {trace["name"]: trace["x"] for trace in figure["data"]}
    assert bars == {
        "dense, by the energy counter": [0.4],
        "SparQ, by the energy counter": [0.1],
        "dense, by the integral of power": [0.5, 0.38],
        "SparQ, by the integral of power": [0.09],
    }
    texts = [note["text"] for note in figure["layout"]["annotations"]]
    assert texts.count("not measured") == 1


def test_loops_without_any_energy_draw_no_bars(gpu, trio) -> None:
    view = build_view([*trio, gpu.energy(trio[0], None)])
    assert build_charts(view).energies == ()
    assert rows_of(view)["dense-triton"].per_token_j is None


def test_discarded_samples_and_causes_are_flagged(gpu) -> None:
    lines = [
        gpu.measurement("dense-triton", SHAPE, n_throttled=5, slowdowns={CAP: 0.25, "hardware slowdown": 0.02}),
        gpu.measurement("sparq-triton", SHAPE, R32, n_throttled=1, slowdowns={CAP: 0.5}),
        gpu.measurement("sparq-triton", SHAPE, R16),
    ]
    view = build_view(lines)
    flags = [row.throttled for row in view.rows]
    assert flags[2] is None
    assert flags[0].words == (
        "software power cap held the clock down in 25.0 % of the rounds; "
        "hardware slowdown held the clock down in 2.0 % of the rounds; 5 samples left out"
    )
    assert (
        "The clock was held down while 2 configurations of 3 were timed (software power cap in up to 50.0 % of the "
        "rounds and hardware slowdown in up to 2.0 % of the rounds): 6 samples of such rounds were left out. "
        "The table of configurations flags them." in view.cautions
    )


def test_samples_that_were_all_throttled_are_kept_and_flagged(gpu) -> None:
    view = build_view([gpu.measurement("dense-triton", SHAPE, slowdowns={CAP: 1.0})])
    assert only(view.rows).throttled.short == "no sample left out"
    assert "was timed (software power cap in up to 100.0 % of the rounds): no sample was left out" in only(
        view.cautions[1:]
    )
    assert build_view([gpu.measurement("dense-triton", SHAPE)]).rows[0].throttled is None


def test_a_later_loop_counts(gpu, trio) -> None:
    view = build_view([*trio, gpu.energy(trio[0], 0.4), gpu.energy(trio[0], 0.3)])
    assert rows_of(view)["dense-triton"].counter_j == 0.3


def test_power_that_the_driver_averages_is_told(gpu, trio) -> None:
    view = build_view([*trio, gpu.energy(trio[0], 0.4, 0.3, power_source="power_average_w", power_w=Reading.of(90.0))])
    assert rows_of(view)["dense-triton"].averaged
