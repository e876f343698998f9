"""Speeds and bytes of a setting, from records of the same settings and heads.

What joins a line to a setting: every field of the SparQ config, and the query heads, KV heads and head dim; for times
of a whole model also its name. Batch, length, element type and device may differ: they are told with each number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sparq_perf.comparison import compare
from sparq_perf.fidelity.frontier import SPEED_TASK, SettingPoint
from sparq_perf.records.fidelity import Fidelity
from sparq_perf.records.schema import Counted, Dram, Imported, Line, Run, Subject
from sparq_perf.report.wording import tokens
from sparq_profiles import AttentionShape, HardwareProfile, SparqConfig
from sparq_roofline.prediction import predict
from sparq_roofline.traffic import dense_traffic, sparq_traffic

Heads = tuple[int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a number was found, beside the setting itself; ``caches`` is empty where nobody says."""

    device: str
    dtype: str
    batch: int
    seq_len: int
    caches: str

    @property
    def words(self) -> str:
        """In a line."""
        caches = f", {self.caches} caches" if self.caches else ""
        return f"{self.device}, {self.dtype}, batch {self.batch}, {tokens(self.seq_len)} tokens{caches}"


@dataclass(frozen=True, slots=True)
class Speedup:
    """A setting over dense attention at one place.

    Attributes:
        measured: None where it is predicted only.
        span: its interval; None where the records have none.
        predicted_by: what ``predicted`` rests on, or when it was made: ``by bytes alone``.
    """

    place: Place
    measured: float | None
    span: tuple[float, float] | None
    predicted: float | None
    predicted_by: str
    implementation: str


@dataclass(frozen=True, slots=True)
class MovedBytes:
    """Bytes of one layer's attention in one step, by counting; ``share`` is of dense's, None without its count."""

    place: Place
    how: str
    total_bytes: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Joined:
    """Everything beside one setting's scores.

    Attributes:
        steps: of the whole model; attention: of one layer's attention; no_steps, no_attention: why one is not measured.
        analytic_bytes, analytic_share: minimum traffic of the attention of every layer in the fidelity run's last step,
            and over dense's.
        counted: by interpreting the kernels or by the device's counters; no_counted: why there is none.
    """

    steps: tuple[Speedup, ...]
    no_steps: str | None
    attention: tuple[Speedup, ...]
    no_attention: str | None
    analytic_bytes: float
    analytic_share: float
    counted: tuple[MovedBytes, ...]
    no_counted: str | None


class Joiner:
    """Sets what some record lines say beside fidelity's settings.

    Args:
        hardware: a device to predict attention for; None predicts nothing that the records do not.
    """

    def __init__(self, lines: Sequence[Line], hardware: HardwareProfile | None = None) -> None:
        self._hardware = hardware
        self._lines = lines
        self._devices = {line.run_id: line.environment.device for line in lines if isinstance(line, Run)}
        self._devices |= {line.run_id: line.device for line in lines if isinstance(line, Imported)}
        newest = {line.key: line for line in lines if isinstance(line, Fidelity) and line.task == SPEED_TASK}
        self._timed = [line for line in newest.values() if line.config is not None and "step_speedup" in line.scores]
        self._compared = compare(list(lines))
        self._subjects = [line for line in lines if isinstance(line, Subject) and line.config is not None]
        self._moved = list(self._find_moved(lines))

    def of(self, point: SettingPoint) -> Joined:
        """What stands beside one setting."""
        bench, shape = point.bench, point.shape
        steps = self._steps(point)
        attention = self._attention(point)
        counted = tuple(moved for config, heads, moved in self._moved if (config, heads) == _subject(point))
        dense = dense_traffic(shape)
        sparq = sparq_traffic(shape, point.config)
        dense_bytes, sparq_bytes = (each.read_bytes + each.write_bytes for each in (dense, sparq))
        return Joined(
            steps=steps,
            no_steps=None if steps else self._why_no_steps(point),
            attention=attention,
            no_attention=None if any(one.measured for one in attention) else self._why_no_attention(point),
            analytic_bytes=bench.n_layers * sparq_bytes,
            analytic_share=sparq_bytes / dense_bytes,
            counted=counted,
            no_counted=None if counted else "no counted bytes of these settings and heads",
        )

    def unused(self, points: Iterable[SettingPoint]) -> str | None:
        """What the records measure and no setting has; None where everything is used."""
        known = {_subject(point) for point in points}
        left = [c for c in self._compared if (c.sparq.config, _heads(c.sparq.shape)) not in known]
        if not left:
            return None
        settings = {(c.sparq.config, _heads(c.sparq.shape)) for c in left}
        return (
            f"{len(left)} measured speedups of {len(settings)} other settings or head geometries stand beside no "
            "fidelity and are left out."
        )

    def _steps(self, point: SettingPoint) -> tuple[Speedup, ...]:
        return tuple(
            Speedup(
                _place(line.shape, line.device, ""),
                line.scores["step_speedup"],
                None,
                line.scores.get("predicted_step_speedup"),
                "by bytes alone",
                line.implementation,
            )
            for line in self._timed
            if line.model == point.bench.model and (line.config, _heads(line.shape)) == _subject(point)
        )

    def _attention(self, point: SettingPoint) -> tuple[Speedup, ...]:
        found = []
        for one in self._compared:
            if (one.sparq.config, _heads(one.sparq.shape)) != _subject(point):
                continue
            predicted = one.predicted_speedup.expected if one.predicted_speedup else None
            place = _place(one.sparq.shape, self._device(one.sparq), one.sparq.cache_state)
            span = (one.speedup.lower, one.speedup.upper)
            by = "before the measurement"
            found.append(Speedup(place, one.speedup.expected, span, predicted, by, one.sparq.implementation))
        # Of several implementations at one place the fastest counts, as in the run's report.
        fastest: dict[Place, Speedup] = {}
        for speedup in found:
            best = fastest.get(speedup.place)
            if best is None or (speedup.measured or 0.0) > (best.measured or 0.0):
                fastest[speedup.place] = speedup
        measured = tuple(fastest[place] for place in sorted(fastest))
        return (*measured, *self._predicted(point))

    def _predicted(self, point: SettingPoint) -> tuple[Speedup, ...]:
        if self._hardware is None:
            return ()
        speedup = predict(self._hardware, point.shape, point.config).speedup
        if speedup is None:
            return ()
        place = _place(point.shape, self._hardware.title, "")
        by = f"by the roofline of {self._hardware.name}"
        return (Speedup(place, None, None, speedup.expected, by, "roofline"),)

    def _why_no_steps(self, point: SettingPoint) -> str:
        if not self._timed:
            return f"no {SPEED_TASK} lines in the records"
        if not any(line.model == point.bench.model for line in self._timed):
            return f"the {SPEED_TASK} lines are of other models"
        timed = sorted({(line.config.rank, line.config.top_k) for line in self._timed if line.config})
        return f"no {SPEED_TASK} line has these settings (timed: {', '.join(f'r {r} k {k}' for r, k in timed)})"

    def _why_no_attention(self, point: SettingPoint) -> str:
        config, heads = _subject(point)
        if not self._subjects:
            return "no measurements of attention were given"
        same_heads = [line for line in self._subjects if _heads(line.shape) == heads]
        if not same_heads:
            return "the measurements are of other heads"
        others = {
            line.config
            for line in same_heads
            if line.config and (line.config.rank, line.config.top_k) == (config.rank, config.top_k)
        }
        if config in others:
            return "measured with these settings, and without a valid pair of SparQ and dense"
        if others:
            fields = ("local_window", "mean_value", "group_score", "k_layout")
            differ = [name for name in fields if all(getattr(o, name) != getattr(config, name) for o in others)]
            return f"measured with this r and k, and another {' and '.join(differ) or 'mix of settings'}"
        return "no measurement has this r and k"

    def _find_moved(self, lines: Sequence[Line]) -> Iterable[tuple[SparqConfig, Heads, MovedBytes]]:
        totals: dict[tuple[str, Place, SparqConfig | None], tuple[Heads, float]] = {}
        for line in lines:
            if isinstance(line, Counted) and line.steps:
                how, total = f"counted, {line.implementation}", sum(step.counted_bytes for step in line.steps)
            elif isinstance(line, Dram) and line.dram.total_bytes.value is not None:
                how, total = f"DRAM by {line.dram.source}, {line.implementation}", line.dram.total_bytes.value
            else:
                continue
            place = _place(line.shape, self._device(line), line.cache_state)
            totals[how, place, line.config] = (_heads(line.shape), total)
        for (how, place, config), (heads, total) in totals.items():
            if config is None:
                continue
            kind = how.partition(",")[0]
            dense = [
                other
                for (h, p, c), (own, other) in totals.items()
                if c is None and p == place and own == heads and h.partition(",")[0] == kind
            ]
            yield config, heads, MovedBytes(place, how, total, total / min(dense) if dense else None)

    def _device(self, line: Subject) -> str:
        return self._devices.get(line.run_id, "an unknown device")


def _heads(shape: AttentionShape) -> Heads:
    return (shape.n_heads, shape.n_kv_heads, shape.head_dim)


def _subject(point: SettingPoint) -> tuple[SparqConfig, Heads]:
    return point.config, _heads(point.shape)


def _place(shape: AttentionShape, device: str, caches: str) -> Place:
    return Place(device, shape.dtype, shape.batch, shape.seq_len, caches)
