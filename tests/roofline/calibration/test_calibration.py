from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, SparqConfig
from sparq_roofline import Traffic
from sparq_roofline.calibration import Calibration, MeasuredPoint, algorithm_traffic, calibrate, predict_calibrated

from .conftest import Points

SHAPE = AttentionShape(8, 9000, 16, 16, 128)
CONFIG = SparqConfig(20, 100)


@pytest.fixture(scope="module")
def measured(points: Points) -> list[MeasuredPoint]:
    sparq = points(("two_copies", "row_major"))
    dense = points((None,), implementation="dense-made-up")
    few = [replace(point, implementation="sparq-rare") for point in sparq[:5]]
    return [*sparq, *dense, *few]


@pytest.fixture(scope="module")
def calibration(measured: list[MeasuredPoint], gpu: HardwareProfile) -> Calibration:
    return calibrate(
        measured, gpu, seed=2, device="A made-up GPU", source="made.csv", source_sha256="ab" * 32,
        package_version="1.2.3", created=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )  # fmt: skip


def test_what_is_in_it(calibration: Calibration) -> None:
    assert [entry.implementation for entry in calibration.implementations] == ["dense-made-up", "sparq-made-up"]
    sparq = calibration.find("sparq-made-up")
    assert {entry.k_layout for entry in sparq.models} == {"two_copies", "row_major"}
    assert (len(sparq.points), sparq.steps, sparq.is_dense) == (48, "algorithm", False)
    assert len(calibration.find("dense-made-up").points) == 8  # half of sixteen
    assert calibration.skipped == {"sparq-rare": "5 points in float16: at least 6 are needed"}
    provenance = calibration.provenance
    assert (provenance.device, provenance.source, provenance.seed) == ("A made-up GPU", "made.csv", 2)
    assert (provenance.created, provenance.package_version) == ("2026-03-01T12:00:00+00:00", "1.2.3")


def test_points_carry_what_was_made_of_them(calibration: Calibration) -> None:
    for entry in calibration.implementations:
        for point in entry.points:
            predicted = calibration.predict(entry.implementation, point.shape, point.config)
            assert point.fitted_s == pytest.approx(predicted.time_s.expected)
            assert point.fitted_s == pytest.approx(point.measured_s, rel=0.1)


def test_predicting_is_the_models(calibration: Calibration, gpu: HardwareProfile) -> None:
    for layout in ("two_copies", "row_major"):
        config = replace(CONFIG, k_layout=layout)
        model, own = calibration.find("sparq-made-up").model_for(layout)  # type: ignore[arg-type]
        assert own
        expected = predict_calibrated(algorithm_traffic(SHAPE, config), SHAPE, config, gpu, model)
        assert calibration.predict("sparq-made-up", SHAPE, config) == expected
        assert expected.evidence == "calibrated"
        assert expected.extrapolated == ()


@pytest.mark.parametrize(
    ("shape", "config", "extrapolated"),
    [
        (replace(SHAPE, seq_len=200_000), CONFIG, ("seq_len",)),
        (replace(SHAPE, batch=256), CONFIG, ("kv_heads",)),
        (SHAPE, replace(CONFIG, rank=100, top_k=5000), ("rank", "top_k")),
        (replace(SHAPE, n_kv_heads=4), CONFIG, ("group_size",)),
        (replace(SHAPE, dtype="float32"), CONFIG, ("dtype",)),
        (SHAPE, replace(CONFIG, k_layout="channel_major"), ("k_layout",)),
    ],
)
def test_outside_what_was_seen(
    calibration: Calibration, shape: AttentionShape, config: SparqConfig, extrapolated: tuple[str, ...]
) -> None:
    outside = calibration.predict("sparq-made-up", shape, config)
    assert outside.extrapolated == extrapolated
    inside = calibration.predict("sparq-made-up", SHAPE, CONFIG).time_s
    assert outside.time_s.upper / outside.time_s.expected > inside.upper / inside.expected


@pytest.mark.parametrize(
    ("implementation", "config", "complaint"),
    [
        ("sparq-unheard-of", CONFIG, "no model of 'sparq-unheard-of': it has dense-made-up, sparq-made-up"),
        ("sparq-rare", CONFIG, "no model of 'sparq-rare' .5 points in float16: at least 6 are needed."),
        ("sparq-made-up", None, "sparq-made-up computes SparQ attention: give a SparqConfig"),
        ("dense-made-up", CONFIG, "dense-made-up computes dense attention: leave config out"),
        ("sparq-made-up", SparqConfig(129, 8), "rank is 129 and head_dim is 128"),
    ],
)
def test_what_it_cannot_predict(
    calibration: Calibration, implementation: str, config: SparqConfig | None, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        calibration.predict(implementation, SHAPE, config)


def test_steps_of_the_implementation_itself(measured: list[MeasuredPoint], gpu: HardwareProfile) -> None:
    def doubled(shape: AttentionShape, config: SparqConfig | None) -> Traffic:
        return Traffic(
            tuple(step._replace(read_bytes=2 * step.read_bytes) for step in algorithm_traffic(shape, config).steps)
        )

    own = {"sparq-made-up": doubled}
    found = calibrate(measured[:256], gpu, own_traffic=own)
    entry = found.find("sparq-made-up")
    assert entry.steps == "own"
    predicted = found.predict("sparq-made-up", SHAPE, CONFIG, own_traffic=own)
    assert predicted.read_bytes == 2 * algorithm_traffic(SHAPE, CONFIG).read_bytes
    with pytest.raises(ConfigError, match="fitted to its own steps: give them as own_traffic"):
        found.predict("sparq-made-up", SHAPE, CONFIG)


def test_warm_points_are_left_out(measured: list[MeasuredPoint], gpu: HardwareProfile) -> None:
    cold = measured[:40]
    warm = [replace(point, footprint_bytes=1e6, time_s=point.time_s / 3) for point in cold]
    assert calibrate([*cold, *warm], gpu).implementations == calibrate(cold, gpu).implementations


def test_nothing_to_calibrate(gpu: HardwareProfile) -> None:
    empty = calibrate([], gpu)
    assert empty.implementations == ()
    with pytest.raises(ConfigError, match="it has none"):
        empty.predict("sparq-made-up", SHAPE, CONFIG)


@pytest.mark.parametrize("time_s", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_cannot_be(time_s: float) -> None:
    with pytest.raises(ConfigError, match=r"sparq-x at .*: time_s is .*: it must be above 0 and finite"):
        MeasuredPoint("sparq-x", SHAPE, CONFIG, time_s)


def test_an_implementation_twice_is_refused(calibration: Calibration) -> None:
    fields: dict[str, Any] = {name: getattr(calibration, name) for name in Calibration.model_fields}
    with pytest.raises(ValueError, match="each implementation and dtype once"):
        Calibration(**{**fields, "implementations": calibration.implementations * 2})
