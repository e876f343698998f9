"""A grid of calibrated predictions at once: `calibration.predicting` over numpy arrays, which test_grid holds it to."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from sparq_profiles import ConfigError
from sparq_profiles.shape import DType, KLayout
from sparq_roofline.calibration.calibration import Calibration
from sparq_roofline.calibration.cost import amounts, beside, overlapped
from sparq_roofline.calibration.factors import TABLES, Axis, Cell, along_4, corrections
from sparq_roofline.calibration.predicting import NINETY_PERCENT, SPREAD_AN_OCTAVE, bandwidth_at
from sparq_roofline.prediction import APPEND_STEPS
from sparq_roofline.steps import StepTraffic

Steps = tuple[StepTraffic, ...]
# Columns of each side.
TIMES = ("read_bytes", "write_bytes", "flops", "time_s", "time_lower_s", "time_upper_s")


class CalibratedSide:
    """Times of one implementation for blocks of configurations.

    Args:
        calibration: has a model of the implementation.
        implementation: fitted to the algorithm's steps; those of an implementation's own are no arithmetic on arrays.
        dtype: element type of the grid.
        k_layout: of the grid; None for dense attention.

    Raises:
        ConfigError: no model, dense where SparQ is asked for or the other way round, or one fitted to its own steps.
    """

    def __init__(self, calibration: Calibration, implementation: str, dtype: DType, k_layout: KLayout | None) -> None:
        entry = calibration.find(implementation, dtype)
        if entry.is_dense != (k_layout is None):
            wanted, found = ("dense", "SparQ") if k_layout is None else ("SparQ", "dense")
            raise ConfigError(f"sweep: {implementation} computes {found} attention: name one that computes {wanted}")
        if entry.steps != "algorithm":
            raise ConfigError(
                f"sweep: {implementation} was fitted to its own steps: a grid needs one fitted to the algorithm's"
            )
        self._model, of_layout = entry.model_for(k_layout)
        self._unseen = (entry.dtype != dtype) + (not of_layout)
        self._tables = SimpleNamespace(**{name: np.array(getattr(self._model.factors, name)) for name in TABLES})
        self._byte_s = 1 / bandwidth_at(calibration.hardware, None)
        self._flop_s = 1 / calibration.hardware.peak_for(dtype).value

    def times(self, steps: Steps, sizes: dict[str, Any]) -> dict[str, Any]:
        """Lower, expected and upper time, seconds; ``spread`` of log time; bytes, FLOPs, the bound and ``beyond``.

        Args:
            steps: the algorithm's, over arrays.
            sizes: arrays or numbers by the names of `place.Place`.
        """
        model, axes = self._model, self._model.factors.axes
        logs = [np.log2(sizes[name]) for name in ("kv_heads", "seq_len", "rank", "top_k")]
        cells = [_cell(axis, log) for axis, log in zip(axes, logs, strict=True)]
        factor = corrections(self._tables, axes, cells, np.exp)
        asked = amounts(steps, sizes["seq_len"])
        stream_s = asked.stream_bytes * (self._byte_s * model.stream_slowdown) * factor.stream
        arithmetic_s = asked.flops * (self._flop_s * model.compute_share) * factor.stream
        gather_s = asked.gather_bytes * (self._byte_s * model.gather_slowdown) * factor.gather
        select_s = asked.elements * model.element_s * factor.select
        streaming_s = stream_s + arithmetic_s
        both_s = beside(streaming_s, asked.positions * model.position_s * factor.position)
        device_s = both_s + gather_s + select_s + asked.pieces * model.piece_s + asked.launches * model.launch_s
        modelled_s = overlapped(model.host_s * factor.host, device_s, model.overlap)
        read_bytes, write_bytes, flops = _totals(steps)
        compute_roof_s = flops * self._flop_s
        roofline_s = np.maximum((read_bytes + write_bytes) * self._byte_s, compute_roof_s)
        expected_s = np.maximum(modelled_s, roofline_s)
        spread, beyond = self._spread(cells, logs, sizes)
        width = np.exp(NINETY_PERCENT * spread)

        memory_s, compute_s = stream_s + gather_s, arithmetic_s + select_s
        latency_s = modelled_s - memory_s - compute_s
        by_memory = (memory_s >= compute_s) & (memory_s >= latency_s)
        bound = np.where(by_memory, 0, np.where(compute_s >= latency_s, 1, 2))
        return {
            "read_bytes": read_bytes,
            "write_bytes": write_bytes,
            "flops": flops,
            "time_s": expected_s,
            "time_lower_s": np.maximum(roofline_s, expected_s / width),
            "time_upper_s": expected_s * width,
            "spread": spread,
            "beyond": beyond,
            "bound": np.where(compute_roof_s > modelled_s, 1, bound),
        }

    def _spread(self, cells: list[Cell], logs: list[Any], sizes: dict[str, Any]) -> tuple[Any, Any]:
        spread = along_4(self._tables.spread, cells, self._model.factors.axes)
        octaves = dict(zip(("kv_heads", "seq_len", "rank", "top_k"), logs, strict=True))
        further: Any = float(self._unseen)
        for name, (low, high) in self._model.ranges.items():
            at = octaves[name] if name in octaves else np.log2(sizes[name])
            # Most often nothing lies outside; the largest and the smallest tell that for a tenth of the time.
            lowest, highest = np.log2(low), np.log2(high)
            if np.min(at) < lowest or np.max(at) > highest:
                further = further + np.maximum(np.maximum(lowest - at, at - highest), 0.0) ** 2
        if np.ndim(further) == 0 and further == 0.0:
            return spread, False
        return np.sqrt(spread**2 + SPREAD_AN_OCTAVE**2 * further), further > 0.0


class CalibratedPair:
    """Dense and SparQ times of one layout of K, and the speedup.

    Args:
        calibration, dtype, k_layout: as for `CalibratedSide`.
        implementations: the dense one and the one of SparQ.
    """

    def __init__(
        self, calibration: Calibration, implementations: tuple[str, str], dtype: DType, k_layout: KLayout
    ) -> None:
        dense, sparq = implementations
        self._dense = CalibratedSide(calibration, dense, dtype, None)
        self._sparq = CalibratedSide(calibration, sparq, dtype, k_layout)

    def times(self, result: dict[str, Any], dense: Steps, sparq: Steps, part: dict[str, Any]) -> None:
        """Fill in a block's columns of `grid.sweep` that hold times, and ``bound`` and ``extrapolated``."""
        place = {
            "kv_heads": part["batch"] * part["n_kv_heads"],
            "group_size": part["n_heads"] / part["n_kv_heads"],
            "head_dim": part["head_dim"],
            "seq_len": part["seq_len"],
        }
        of_dense = self._dense.times(_without_append(dense), {**place, "rank": 1.0, "top_k": 1.0})
        of_sparq = self._sparq.times(_without_append(sparq), {**place, "rank": part["rank"], "top_k": part["top_k"]})
        for side, found in (("dense", of_dense), ("sparq", of_sparq)):
            result |= {f"{side}_{name}": found[name] for name in TIMES}
        result["bound"] = of_sparq["bound"]
        result["extrapolated"] = of_dense["beyond"] | of_sparq["beyond"]
        # The two err independently of each other: their spreads add up as squares do.
        width = np.exp(NINETY_PERCENT * np.sqrt(of_dense["spread"] ** 2 + of_sparq["spread"] ** 2))
        result["speedup"] = of_dense["time_s"] / of_sparq["time_s"]
        result["speedup_lower"] = result["speedup"] / width
        result["speedup_upper"] = result["speedup"] * width


def _without_append(steps: Steps) -> Steps:
    """The attention operator alone, as it was measured."""
    return tuple(step for step in steps if step.name not in APPEND_STEPS)


def _totals(steps: Steps) -> tuple[Any, Any, Any]:
    read_bytes: Any = 0.0
    write_bytes: Any = 0.0
    flops: Any = 0.0
    for step in steps:
        read_bytes = read_bytes + step.read_bytes
        write_bytes = write_bytes + step.write_bytes
        flops = flops + step.flops
    return read_bytes, write_bytes, flops


def _cell(axis: Axis, log: Any) -> Cell:
    if axis.nodes == 1:
        return (0, 0, None)
    at = np.clip((log - axis.start) / axis.step, 0.0, axis.nodes - 1)
    below = np.minimum(at.astype(np.intp), axis.nodes - 2)
    return (below, below + 1, at - below)
