"""The profiled calls: what ran in one decode call of each configuration, and when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sparq_perf.records.schema import Dram, Energy, Line, Measurement, ProfiledKernel, Run, Slice, StepProfile
from sparq_perf.timeline.naming import configuration, short_name
from sparq_perf.timeline.spans import Span, Track, moment_ns, to_ns, to_us

LABELS = "calls, one of each configuration"
KERNELS = "kernels, copies and fills"
OPERATIONS = "operations"


@dataclass(frozen=True, slots=True)
class Call:
    """One profiled call and what the other passes found of its configuration.

    Attributes:
        number: of the arrow that leads to it.
        began_ns: on the wall clock, or wherever a layout puts it.
        on_gpu: its pieces are a GPU's, which run side by side; a CPU's lie inside each other.
    """

    number: int
    began_ns: int
    on_gpu: bool
    profile: StepProfile
    measurement: Measurement | None
    energy: Energy | None
    dram: Dram | None

    @property
    def name(self) -> str:
        """Its configuration."""
        return short_name(self.profile)

    @property
    def duration_ns(self) -> int:
        """To the end of its last piece."""
        return max(to_ns(piece.start_s + piece.duration_s) for piece in self.profile.call)

    def label(self) -> Span:
        """The whole call under its configuration's name."""
        profile, dram = self.profile, self.dram.dram if self.dram else None
        args = {
            "timed_median_us": to_us(self.measurement.median_s if self.measurement else None),
            "profiled_total_us": to_us(profile.total_s),
            "profiled_span_us": to_us(profile.span_s),
            "profiled_means_of_calls": profile.iterations,
            "energy_per_step_j": self.energy.energy_j if self.energy else None,
            "dram_bytes": dram.total_bytes.value if dram else None,
            "pieces_shown": len(profile.call),
            **configuration(profile),
        }
        return Span(self.name, self.began_ns, self.duration_ns, args, reached_by=self.number)

    def pieces(self) -> tuple[Span, ...]:
        """Its kernels, copies and fills, or operations."""
        means = {(kernel.name, kernel.step): kernel for kernel in self.profile.kernels}
        return tuple(self._piece(piece, means.get((piece.name, piece.step))) for piece in self.profile.call)

    def _piece(self, piece: Slice, mean: ProfiledKernel | None) -> Span:
        # Both ends are rounded, not the duration: pieces that touch, or nest, still do.
        start_ns, end_ns = to_ns(piece.start_s), to_ns(piece.start_s + piece.duration_s)
        args: dict[str, Any] = {"step": piece.step or "none named", "configuration": self.name}
        if piece.is_range:
            args["is"] = "a named step"
        if mean is not None:
            args |= {"launches_per_call": mean.launches, "mean_us_per_call": to_us(mean.time_s)}
        return Span(piece.name, self.began_ns + start_ns, end_ns - start_ns, args)


def profiled_calls(lines: Sequence[Line]) -> tuple[Call, ...]:
    """Every call that the records show, in their order; with the latest of the other passes' lines."""
    measurements = {line.key: line for line in lines if isinstance(line, Measurement)}
    energies = {line.key: line for line in lines if isinstance(line, Energy)}
    drams = {line.key: line for line in lines if isinstance(line, Dram)}
    on_gpu = {line.run_id: line.environment.device_kind == "gpu" for line in lines if isinstance(line, Run)}
    shown = [line for line in lines if isinstance(line, StepProfile) and line.call and line.began is not None]
    return tuple(
        Call(
            number=number,
            began_ns=moment_ns(line.began) if line.began else 0,
            on_gpu=on_gpu.get(line.run_id, not any(piece.is_range for piece in line.call)),
            profile=line,
            measurement=measurements.get(line.key),
            energy=energies.get(line.key),
            dram=drams.get(line.key),
        )
        for number, line in enumerate(shown, start=1)
    )


def call_tracks(calls: Sequence[Call]) -> tuple[Track, ...]:
    """Labels, and below them what ran; those that hold anything."""
    kernels = tuple(piece for call in calls if call.on_gpu for piece in call.pieces())
    operations = tuple(piece for call in calls if not call.on_gpu for piece in call.pieces())
    tracks = (
        Track(LABELS, tuple(call.label() for call in calls)),
        Track(KERNELS, kernels, nests=False),
        Track(OPERATIONS, operations),
    )
    return tuple(track for track in tracks if track.spans)


def end_to_end(calls: Iterable[Call], lengths_ns: Iterable[int]) -> tuple[Call, ...]:
    """The same calls one after another from 0, each with a gap of a tenth of its length behind it.

    Args:
        calls: anywhere in time.
        lengths_ns: of each: the call's own, or its prediction's where that is longer.
    """
    moved, now_ns = [], 0
    for call, length_ns in zip(calls, lengths_ns, strict=True):
        moved.append(replace(call, began_ns=now_ns))
        now_ns += length_ns + length_ns // 10
    return tuple(moved)
