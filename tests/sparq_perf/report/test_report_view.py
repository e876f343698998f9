"""What the page says, from hand-made measurements whose verdict can be worked out on paper."""

from collections.abc import Iterable

import pytest

from sparq_perf.records.schema import Line, StepProfile
from sparq_perf.report.view import build_view
from sparq_profiles import AttentionShape, SparqConfig

R32 = SparqConfig(32, 128, 32)


def at(seq_len: int, batch: int = 1) -> AttentionShape:
    return AttentionShape(batch, seq_len, 32, 32, 128, "float32")


def pair(records, seq_len: int, speedup: float, half_width: float = 0.01, batch: int = 1) -> list[Line]:
    """Dense at 1 ms exactly, and SparQ faster by ``speedup`` with a relative half-width of its interval."""
    time_s = 1e-3 / speedup
    interval = (time_s * (1 - half_width), time_s * (1 + half_width))
    return [
        records.measurement("dense-cpu", at(seq_len, batch), time_s=1e-3),
        records.measurement("sparq-cpu", at(seq_len, batch), R32, time_s=time_s, interval=interval),
    ]


def sweep(records, speedups: dict[int, float]) -> list[Line]:
    return [line for seq_len, speedup in speedups.items() for line in pair(records, seq_len, speedup)]


def only(items: Iterable[object]):
    (item,) = items
    return item


def test_pays_from_the_first_length_after_the_last_loss(records) -> None:
    view = build_view(sweep(records, {1024: 0.5, 2048: 1.5, 4096: 0.9, 8192: 2.0, 16384: 4.0}))
    verdict = only(view.verdict.series)
    assert verdict.pays_from == 8192
    assert verdict.phrase == "Pays from 8k tokens on, up to the longest measured, 16k (slower at 1k and 4k)"
    assert view.verdict.headline == (
        "SparQ pays in every configuration compared at 8k to 16k tokens, but not in all shorter ones"
    )


def test_an_interval_that_straddles_1_is_no_clear_difference(records) -> None:
    view = build_view([*pair(records, 1024, 1.05, half_width=0.1), *pair(records, 4096, 3.0)])
    verdict = only(view.verdict.series)
    assert [point.outcome for point in verdict.series.points] == ["unclear", "faster"]
    assert verdict.pays_from == 4096
    assert "no clear difference at 1k" in verdict.phrase
    assert "no clear difference in 1, where the speedup's interval straddles 1" in view.verdict.sentences[0]


def test_pays_everywhere_and_nowhere(records) -> None:
    everywhere = build_view(sweep(records, {1024: 2.0, 4096: 3.0}))
    assert everywhere.verdict.headline == "SparQ pays in every configuration compared (1k to 4k tokens)"
    assert only(everywhere.verdict.series).phrase == "Pays at every length measured (1k to 4k tokens)"
    nowhere = build_view(sweep(records, {1024: 0.5, 4096: 0.8}))
    assert nowhere.verdict.headline == "SparQ does not pay in anything measured here"
    assert only(nowhere.verdict.series).pays_from is None
    assert only(nowhere.verdict.series).phrase.startswith("Does not pay at any length measured (1k to 4k tokens")


def test_a_win_that_does_not_last_is_told(records) -> None:
    view = build_view(sweep(records, {1024: 2.0, 4096: 0.8}))
    assert only(view.verdict.series).phrase == ("Pays at 1k tokens but not at the longest measured (slower at 4k)")
    assert view.verdict.headline == "SparQ pays in 1 of 2 configurations compared"


def test_the_best_dense_baseline_is_named_and_the_fastest_sparq_counts(records) -> None:
    shape = at(4096)
    lines = [
        records.measurement("dense-cpu", shape, time_s=2e-3),
        records.measurement("dense-sdpa", shape, time_s=1e-3),
        records.measurement("sparq-cpu", shape, R32, time_s=0.25e-3, predicted_s=0.25e-3),
        records.measurement("sparq-torch", shape, R32, time_s=0.8e-3),
    ]
    view = build_view(lines)
    point = only(only(only(view.panels).series).points)
    assert point.speedup.expected == pytest.approx(4.0)
    assert point.best.dense.implementation == "dense-sdpa"
    assert [c.sparq.implementation for c in point.others] == ["sparq-torch"]
    assert "here that was dense-sdpa throughout" in view.verdict.sentences[2]
    assert view.verdict.sentences[1].startswith("The largest speedup is 4.00× (4.00× to 4.00×; predicted ")
    assert {heatmap.name.split(", ")[4].split(" ")[0] for heatmap in view.heatmaps} == {
        "sparq-cpu",
        "sparq-torch",
    }


def test_prediction_errors_of_valid_measurements_only(records) -> None:
    lines = [
        records.measurement("dense-cpu", at(1024), time_s=1e-3, predicted_s=1.1e-3),
        records.measurement("dense-cpu", at(2048), time_s=1e-3, predicted_s=0.7e-3),
        records.measurement("dense-cpu", at(4096), time_s=1e-3, predicted_s=1.05e-3),
        records.measurement("dense-cpu", at(8192), time_s=1e-3, predicted_s=9e-3, status="invalid", reasons=["noise"]),
        records.measurement("dense-cpu", at(16384), status="failed", reasons=["out of memory"]),
    ]
    accuracy = build_view(lines).accuracy
    assert (accuracy.n_valid, accuracy.n_invalid, accuracy.n_failed, accuracy.n_compared) == (3, 1, 1, 3)
    assert accuracy.median_error == pytest.approx(0.1)
    assert accuracy.bias == pytest.approx(0.05)
    assert accuracy.worst is not None
    assert accuracy.worst.error == pytest.approx(-0.3)
    assert accuracy.n_inside_band == 2
    assert [point.error is None for point in accuracy.points] == [False, False, False, True]
    row = only(accuracy.by_implementation)
    assert (row.n, row.worst_error) == (3, pytest.approx(-0.3))


def test_settings_that_behave_alike_are_told_together(records) -> None:
    lines = [
        *pair(records, 1024, 2.0, batch=1),
        *pair(records, 4096, 2.0, batch=1),
        *pair(records, 1024, 3.0, batch=4),
        *pair(records, 4096, 3.0, batch=4),
    ]
    group = only(build_view(lines).verdict.geometries)
    assert group.findings == (
        ("Pays at every length measured (1k to 4k tokens)", "r\u00a032, k\u00a0128 at batch 1 and 4"),
    )


def test_configs_that_differ_elsewhere_are_told_apart(records) -> None:
    other = SparqConfig(32, 128, 0, k_layout="row_major")
    lines = pair(records, 4096, 2.0)
    lines.append(records.measurement("sparq-cpu", at(4096), other, time_s=0.4e-3))
    names = [panel.config_name for panel in build_view(lines).panels]
    assert len(set(names)) == 2
    assert all("r\u00a032, k\u00a0128 (l " in name for name in names)


def test_only_layouts_that_keep_k_twice_are_said_to_need_more_memory(records) -> None:
    assert "two_copies needs 1.5 times" in build_view(pair(records, 4096, 2.0)).verdict.sentences[-1]
    once = SparqConfig(32, 128, 32, mean_value=False, k_layout="row_major")
    lines = [
        records.measurement("dense-cpu", at(4096), time_s=1e-3),
        records.measurement("sparq-cpu", at(4096), once, time_s=0.4e-3),
    ]
    assert not any("memory of dense attention" in s for s in build_view(lines).verdict.sentences)


def test_an_invalid_result_is_a_gap_with_its_reason(records) -> None:
    lines = pair(records, 4096, 2.0)
    lines.append(records.measurement("dense-cpu", at(8192), time_s=1e-3))
    lines.append(records.measurement("sparq-cpu", at(8192), R32, status="invalid", reasons=["too noisy"]))
    lines.append(records.measurement("sparq-cpu", at(16384), R32, time_s=1e-3))
    view = build_view(lines)
    verdict = only(view.verdict.series)
    assert verdict.caution == (
        "no valid comparison at 8k: sparq-cpu invalid: too noisy; "
        "no valid comparison at 16k: no valid dense baseline of the same shape and cache state"
    )
    assert [(item.status, item.reasons) for item in view.rejected] == [("invalid", ("too noisy",))]
    assert [cell.mark for cell in only(view.heatmaps).cells] == ["", "invalid", "no base"]


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda r: [r.run()], "No measurement was recorded, so there is nothing to compare."),
        (
            lambda r: [r.measurement("dense-cpu", at(1024))],
            "This run holds only dense attention (1 measurement): there is no speedup.",
        ),
        (
            lambda r: [r.measurement("sparq-cpu", at(1024), R32)],
            "This run holds no dense baseline for its 1 SparQ measurement.",
        ),
        (
            lambda r: [
                r.measurement("dense-cpu", at(1024)),
                r.measurement("sparq-cpu", at(1024), R32, status="failed", reasons=["out of memory"]),
            ],
            "none of the 1 SparQ measurement is valid",
        ),
        (
            lambda r: [r.measurement("dense-cpu", at(1024)), r.measurement("sparq-cpu", at(2048), R32)],
            "No valid SparQ measurement has a valid dense baseline of the same shape and cache state.",
        ),
    ],
)
def test_a_run_without_comparison_says_why(records, build, reason: str) -> None:
    view = build_view(build(records))
    assert view.no_speedup is not None
    assert reason in view.no_speedup
    assert view.verdict.headline == "No verdict on SparQ"
    assert view.verdict.absent == view.no_speedup


def test_a_run_of_failures_has_no_number(records) -> None:
    lines = [
        records.measurement("dense-cpu", at(1024), status="failed", reasons=["out of memory"]),
        records.measurement("sparq-cpu", at(1024), R32, status="failed", reasons=["out of memory"]),
    ]
    view = build_view(lines)
    assert view.accuracy.absent == "Every measurement failed, so there is no time to set beside a prediction."
    assert all(row.measured_s is None and row.speedup is None for row in view.rows)
    assert len(view.rejected) == 2


def test_roofline_rates_come_from_counted_flops_and_measured_time(records) -> None:
    measured = records.measurement("dense-cpu", at(4096), time_s=1e-3)
    view = build_view([records.ceilings("start"), measured])
    point = only(view.roofline.points)
    assert measured.prediction is not None
    moved = measured.prediction.read_bytes + measured.prediction.write_bytes
    assert point.flop_per_s == pytest.approx(measured.prediction.flops / 1e-3)
    assert point.flop_per_byte == pytest.approx(measured.prediction.flops / moved)
    assert [roof.bytes_per_s for roof in view.roofline.bandwidths] == [20e9, 95e9]
    assert only(view.roofline.peaks).flop_per_s == 118e9


def test_a_roofline_needs_ceilings_and_counted_bytes(records) -> None:
    measured = records.measurement("dense-cpu", at(4096), predict=False)
    assert "ceilings were not recorded" in (build_view([measured]).roofline.absent or "")
    view = build_view([records.ceilings("start"), measured])
    assert "no valid measurement carries a prediction" in (view.roofline.absent or "")
    assert view.accuracy.absent is not None


def test_time_outside_named_steps_is_shown(records) -> None:
    measured = records.measurement("sparq-cpu", at(4096), R32)
    profile = records.step_profile(measured)
    group = only(build_view([measured, profile]).step_times.groups)
    profiled, predicted = group.bars
    assert isinstance(profile, StepProfile)
    named = sum(step.time_s for step in profile.steps)
    assert dict(profiled.steps)["outside named steps"] == pytest.approx(profile.total_s - named)
    assert [name for name, _ in predicted.steps][:3] == ["score", "select", "gather"]
    assert predicted.source == "predicted"


def test_ceilings_show_drift_of_what_is_measured(records) -> None:
    lines = [records.run(), records.ceilings("start", 20e9), records.ceilings("end", 18e9), records.end()]
    view = build_view(lines)
    rows = {ceiling.name: ceiling for ceiling in view.provenance.ceilings}
    assert (rows["Memory bandwidth"].start, rows["Memory bandwidth"].end) == ("20.0 GB/s", "18.0 GB/s")
    assert rows["Memory bandwidth"].drift == "−10.0 %"
    assert rows["L2 cache"].drift == "–"
    assert any("changed by −10.0 %" in caution for caution in view.cautions)


def test_a_run_that_was_cut_short_says_so(records) -> None:
    killed = build_view([records.run()])
    assert any("recorded no end" in caution for caution in killed.cautions)
    interrupted = build_view([records.run(), records.end("interrupted", 7)])
    assert "The run was interrupted with 7 configurations missing." in interrupted.cautions
    assert ("7 planned configurations", "the run ended before they were measured") in interrupted.not_measured
    resumed = build_view([records.run(), records.end("interrupted", 7), records.run(resumed=True), records.end()])
    assert not resumed.cautions
    assert [run.resumed for run in resumed.provenance.runs] == [False, True]


def test_records_of_two_devices_are_flagged(records) -> None:
    view = build_view([records.run(device="A"), records.run(device="B"), records.end()])
    assert view.device == "A and B"
    assert any("more than one device" in caution for caution in view.cautions)


def test_what_was_not_measured_carries_its_reason(records) -> None:
    absent = dict(build_view([records.run(), *pair(records, 1024, 2.0)]).not_measured)
    # The instrument's reason stands with what it would have measured, and not a second time by itself.
    assert absent["Energy (2 of 2 measurements)"] == "no NVIDIA driver here"
    assert "nvml" not in absent
    assert absent["DRAM bytes (2 of 2 measurements)"] == "this run holds no such record"
    assert dict(build_view([records.run()]).not_measured)["nvml"] == "no NVIDIA driver here"
    assert "Device ceilings" in absent
    assert "Time per step" in absent


def test_a_configuration_measured_twice_counts_once_and_last(records) -> None:
    lines = [*pair(records, 1024, 2.0), *pair(records, 1024, 4.0)]
    view = build_view(lines)
    assert len(view.rows) == 2
    assert only(only(view.panels).series).points[0].speedup.expected == pytest.approx(4.0)


def test_the_whole_run(records) -> None:
    view = build_view(records.whole_run())
    assert len(view.panels) == 15
    assert len(view.rows) == view.accuracy.n_valid + view.accuracy.n_invalid + view.accuracy.n_failed
    assert (view.accuracy.n_invalid, view.accuracy.n_failed) == (1, 2)
    assert view.accuracy.median_error is not None
    assert 0 < view.accuracy.median_error < 0.15
