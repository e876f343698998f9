"""What stands beside a setting: by equality of every field, or not at all."""

from dataclasses import replace
from typing import Any

import pytest

from sparq_perf.fidelity.frontier import points_of
from sparq_perf.fidelity_report.joining import Joiner
from sparq_perf.fidelity_report.speeds import speed_cell
from sparq_perf.records.schema import CountedBytes
from sparq_profiles import AttentionShape, SparqConfig, load_hardware
from sparq_roofline.traffic import dense_traffic, sparq_traffic

NEAR = SparqConfig(16, 64, 16)
HEADS = AttentionShape(2, 108, 4, 2, 32, "float32")
LONG = AttentionShape(1, 4096, 4, 2, 32, "float32")


def joined(grid: Any, *beside: Any, hardware: Any = None) -> Any:
    """What stands beside the setting r 16, k 64, l 16."""
    lines = grid.quality()
    point = next(point for point in points_of(lines) if point.config == NEAR)
    return Joiner([*lines, *beside], hardware).of(point)


def test_equal_settings_join_at_any_batch_and_length(grid: Any) -> None:
    """Dense 3 ms over SparQ 2 ms is 1.5; the step as it was told."""
    pair = [grid.measured(None, 3e-3, LONG), grid.measured(NEAR, 2e-3, LONG)]
    found = joined(grid, *pair, grid.timed(NEAR, 1.25))
    (step,), (attention,) = found.steps, found.attention
    assert (step.measured, step.span, step.predicted) == (1.25, None, 1.75)
    assert attention.measured == pytest.approx(1.5)
    assert attention.span == pytest.approx((1.5, 1.5))
    assert attention.predicted == pytest.approx(1.5)
    assert attention.place.words == "an unknown device, float32, batch 1, 4k tokens, cold caches"
    assert (found.no_steps, found.no_attention) == (None, None)


def test_the_device_is_that_of_the_run(grid: Any, lines: Any) -> None:
    pair = [lines.run(), grid.measured(None, 3e-3), grid.measured(NEAR, 2e-3)]
    assert joined(grid, *pair).attention[0].place.device == "Test CPU"


@pytest.mark.parametrize(
    ("field", "value"),
    [("local_window", 8), ("mean_value", False), ("group_score", "softmax"), ("k_layout", "row_major")],
)
def test_another_setting_does_not_join_and_is_named(grid: Any, field: str, value: Any) -> None:
    other = replace(NEAR, **{field: value})
    found = joined(grid, grid.measured(None, 3e-3), grid.measured(other, 2e-3), grid.timed(other))
    assert (found.steps, found.attention) == ((), ())
    assert found.no_attention == f"measured with this r and k, and another {field}"
    assert found.no_steps == "no decode-speed line has these settings (timed: r 16 k 64)"


@pytest.mark.parametrize(
    "shape",
    [
        AttentionShape(2, 108, 8, 2, 32, "float32"),
        AttentionShape(2, 108, 4, 4, 32, "float32"),
        AttentionShape(2, 108, 4, 2, 64, "float32"),
    ],
)
def test_other_heads_do_not_join(grid: Any, shape: AttentionShape) -> None:
    found = joined(grid, grid.measured(None, 3e-3, shape), grid.measured(NEAR, 2e-3, shape))
    assert (found.attention, found.no_attention) == ((), "the measurements are of other heads")


def test_a_step_of_another_model_does_not_join(grid: Any) -> None:
    found = joined(grid, grid.timed(NEAR, model="large"))
    assert (found.steps, found.no_steps) == ((), "the decode-speed lines are of other models")


def test_nothing_beside_says_so(grid: Any) -> None:
    found = joined(grid)
    assert found.no_steps == "no decode-speed lines in the records"
    assert found.no_attention == "no measurements of attention were given"
    assert found.no_counted == "no counted bytes of these settings and heads"


def test_a_measurement_without_dense_is_no_speedup(grid: Any) -> None:
    found = joined(grid, grid.measured(NEAR, 2e-3))
    assert found.attention == ()
    assert found.no_attention == "measured with these settings, and without a valid pair of SparQ and dense"


def test_of_several_implementations_the_fastest_counts(grid: Any) -> None:
    lines = [grid.measured(None, 3e-3)]
    lines += [grid.measured(NEAR, seconds, implementation=name) for name, seconds in (("a", 2e-3), ("b", 1e-3))]
    (attention,) = joined(grid, *lines).attention
    assert (attention.implementation, attention.measured) == ("b", pytest.approx(3.0))


def test_a_prediction_is_none_of_the_measured(grid: Any) -> None:
    found = joined(grid, hardware=load_hardware("h100-sxm-80gb"))
    (attention,) = found.attention
    assert attention.measured is None
    assert attention.predicted is not None
    assert attention.predicted_by == "by the roofline of h100-sxm-80gb"
    assert found.no_attention == "no measurements of attention were given"
    cell = speed_cell(found.attention)
    assert cell.measured is None
    assert cell.predicted is not None
    assert "predicted by the roofline of h100-sxm-80gb" in cell.predicted


def test_bytes_are_the_minimum_of_every_layer_and_counts_stand_beside(grid: Any, lines: Any) -> None:
    def counted(config: SparqConfig | None, total: int) -> Any:
        step = CountedBytes(
            step="score", counted_bytes=total, analytic_bytes=total, sector_bytes=total, requested_bytes=total
        )
        return lines.counted(config=config, shape=HEADS, steps=(step,), key=str(config))

    found = joined(grid, counted(None, 4000), counted(NEAR, 1000), counted(replace(NEAR, top_k=65), 1))
    dense, sparq = dense_traffic(HEADS), sparq_traffic(HEADS, NEAR)
    sparq_bytes, dense_bytes = (each.read_bytes + each.write_bytes for each in (sparq, dense))
    assert found.analytic_bytes == 2 * sparq_bytes
    assert found.analytic_share == pytest.approx(sparq_bytes / dense_bytes)
    ((moved),) = found.counted
    assert (moved.total_bytes, moved.share) == (1000, 0.25)
    assert joined(grid, counted(NEAR, 1000)).counted[0].share is None


def test_speedups_that_no_setting_has_are_told(grid: Any) -> None:
    quality = grid.quality()
    other = [grid.measured(None, 3e-3), grid.measured(SparqConfig(4, 16), 2e-3)]
    told = Joiner([*quality, *other]).unused(points_of(quality))
    assert told is not None
    assert told.startswith("1 measured speedups of 1 other settings")
    assert Joiner(quality).unused(points_of(quality)) is None


def test_several_places_are_a_range(grid: Any) -> None:
    pairs = []
    for shape, dense_s in ((HEADS, 3e-3), (LONG, 6e-3)):
        pairs += [grid.measured(None, dense_s, shape), grid.measured(NEAR, 2e-3, shape)]
    cell = speed_cell(joined(grid, *pairs).attention)
    assert (cell.measured, cell.where) == ("1.50× to 3.00×", "2 places")
