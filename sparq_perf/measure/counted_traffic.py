"""Counted bytes of a Triton implementation's steps beside the analytic bytes that its ``traffic.py`` states.

Two comparisons: what lanes access beside what the formulas say is accessed, which must agree, and the distinct sectors
beside the DRAM traffic that the formulas expect, which need not: caches and chance have a part in it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sparq_kernels.gpu.tiling import Tiling
from sparq_perf.measure.counts import SECTOR_BYTES, LaunchCount, OutOfBounds
from sparq_profiles import AttentionShape, SparqConfig
from sparq_profiles.shape import KLayout
from sparq_roofline.steps import StepTraffic, Traffic
from sparq_roofline.traffic import kv_cache_bytes


@dataclass(frozen=True, slots=True)
class Case:
    """What to count: a shape and SparQ settings; dense attention takes only the K layout from these.

    Raises:
        ConfigError: rank above head_dim.
    """

    shape: AttentionShape
    config: SparqConfig

    def __post_init__(self) -> None:
        self.config.check_fits(self.shape.head_dim)

    @property
    def cache_bytes(self) -> int:
        """Memory of the KV cache."""
        return kv_cache_bytes(self.shape, self.config)

    @property
    def title(self) -> str:
        """Shape and settings in a line, the K layout aside."""
        shape, config = self.shape, self.config
        heads = f"{shape.n_heads}/{shape.n_kv_heads}"
        words = [
            f"B={shape.batch} S={shape.seq_len:,} heads {heads} d={shape.head_dim} {shape.dtype}",
            f"r={config.rank} k={config.top_k} l={config.local_window} {config.group_score}",
        ]
        return " · ".join([*words, *(() if config.mean_value else ("no mean",))])

    def with_layout(self, k_layout: str) -> "Case":
        """The same with another K layout; ConfigError where there is none of that name."""
        return replace(self, config=replace(self.config, k_layout=k_layout))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class CountedStep:
    """One step of one decode call: what its launches access, and what the formulas say.

    Attributes:
        case: what was counted.
        config: the case's settings; None for dense attention.
        architecture: whose tiling the launches follow, such as ``sm_90``.
        launches: the step's, in order; empty where the formulas name a step that was not launched.
        analytic: None where a step was launched that the formulas do not name.
    """

    implementation: str
    step: str
    case: Case
    config: SparqConfig | None
    architecture: str
    launches: tuple[LaunchCount, ...]
    analytic: StepTraffic | None

    @property
    def k_layout(self) -> KLayout:
        """Which copies of K the cache held."""
        return self.case.config.k_layout

    @property
    def kernel(self) -> str:
        """Names of the kernel functions launched, each once."""
        return " + ".join(dict.fromkeys(launch.kernel for launch in self.launches))

    @property
    def read_bytes(self) -> int:
        """Bytes that lanes read, counted."""
        return sum(launch.read_bytes for launch in self.launches)

    @property
    def write_bytes(self) -> int:
        """Bytes that lanes wrote, counted."""
        return sum(launch.write_bytes for launch in self.launches)

    @property
    def counted_bytes(self) -> int:
        """Bytes read and written, counted."""
        return self.read_bytes + self.write_bytes

    @property
    def analytic_bytes(self) -> float:
        """Bytes that the formulas say are accessed, or moved where they say no more; 0 for a step they do not name."""
        if self.analytic is None:
            return 0
        return self.analytic.moved_bytes if self.analytic.accessed_bytes is None else self.analytic.accessed_bytes

    @property
    def moved_bytes(self) -> float:
        """DRAM traffic by the formulas, to be held against `unique_sector_bytes`; 0 for a step they do not name."""
        return 0 if self.analytic is None else self.analytic.moved_bytes

    @property
    def unique_sector_bytes(self) -> int:
        """Bytes of distinct sectors, read and written, each launch by itself."""
        return sum(launch.unique_sector_bytes for launch in self.launches)

    @property
    def sector_requests(self) -> int:
        """Sectors asked for, read and written."""
        return sum(launch.sector_requests for launch in self.launches)

    @property
    def requested_bytes(self) -> int:
        """Those sectors in bytes."""
        return self.sector_requests * SECTOR_BYTES

    @property
    def sector_ratio(self) -> float | None:
        """Bytes of distinct sectors to bytes that lanes access; None where they access none."""
        return self.unique_sector_bytes / self.counted_bytes if self.counted_bytes else None

    @property
    def out_of_bounds(self) -> tuple[OutOfBounds, ...]:
        """Accesses outside the launches' tensors."""
        return tuple(report for launch in self.launches for report in launch.out_of_bounds)

    @property
    def difference(self) -> float | None:
        """(analytic − counted) / counted, a fraction; None where nothing was accessed but something stated."""
        if self.counted_bytes:
            return (self.analytic_bytes - self.counted_bytes) / self.counted_bytes
        return None if self.analytic_bytes else 0.0

    def holds(self, tolerance: float) -> bool:
        """Whether both byte counts agree within a fraction of the counted one and every access is in bounds."""
        difference = self.difference
        return difference is not None and abs(difference) <= tolerance and not self.out_of_bounds

    def as_row(self) -> dict[str, Any]:
        """Plain data: the identity flat, then the numbers, then each launch with its tensors."""
        config = dict.fromkeys(("rank", "top_k", "local_window", "mean_value", "group_score"))
        if self.config is not None:
            config = {name: getattr(self.config, name) for name in config}
        return {
            "implementation": self.implementation,
            "step": self.step,
            "kernel": self.kernel,
            "k_layout": self.k_layout,
            **asdict(self.case.shape),
            **config,
            "architecture": self.architecture,
            "counted_bytes": self.counted_bytes,
            "counted_read_bytes": self.read_bytes,
            "counted_write_bytes": self.write_bytes,
            "analytic_bytes": self.analytic_bytes,
            "difference": self.difference,
            "moved_bytes": self.moved_bytes,
            "moved_read_bytes": self.analytic.read_bytes if self.analytic else 0,
            "moved_write_bytes": self.analytic.write_bytes if self.analytic else 0,
            "unique_sector_bytes": self.unique_sector_bytes,
            "sector_ratio": self.sector_ratio,
            "sector_requests": self.sector_requests,
            "out_of_bounds": [asdict(report) for report in self.out_of_bounds],
            "launches": [
                {name: value for name, value in asdict(launch).items() if name != "out_of_bounds"}
                for launch in self.launches
            ],
        }


@dataclass(frozen=True, slots=True)
class LayoutCost:
    """Bytes of one SparQ decode call with one K layout, all its steps together.

    Attributes:
        counted_bytes, unique_sector_bytes, requested_bytes: as lanes access, as distinct sectors, and as sectors asked
            for.
        ratio: of the distinct sectors to those of ``two_copies``; None where that layout was not counted.
    """

    implementation: str
    k_layout: KLayout
    counted_bytes: int
    unique_sector_bytes: int
    requested_bytes: int
    ratio: float | None


def layout_costs(steps: Sequence[CountedStep]) -> list[LayoutCost]:
    """What each K layout costs a SparQ call, from the steps of one shape and setting in several layouts."""
    calls: dict[tuple[str, KLayout], list[CountedStep]] = {}
    for step in steps:
        if step.config is not None:
            calls.setdefault((step.implementation, step.k_layout), []).append(step)
    sectors = {call: sum(step.unique_sector_bytes for step in its) for call, its in calls.items()}
    return [
        LayoutCost(
            implementation=name,
            k_layout=k_layout,
            counted_bytes=sum(step.counted_bytes for step in its),
            unique_sector_bytes=sectors[name, k_layout],
            requested_bytes=sum(step.requested_bytes for step in its),
            ratio=sectors[name, k_layout] / sectors[name, "two_copies"] if (name, "two_copies") in calls else None,
        )
        for (name, k_layout), its in calls.items()
    ]


def compare(
    name: str,
    case: Case,
    config: SparqConfig | None,
    tiling: Tiling,
    launches: Sequence[LaunchCount],
    analytic: Traffic,
) -> list[CountedStep]:
    """Put launches beside formulas, step by step; what only one side knows is a step all the same.

    Several launches of one step add up.
    """
    stated = {step.name: step for step in analytic.steps}
    return [
        CountedStep(
            implementation=name,
            step=step,
            case=case,
            config=config,
            architecture=tiling.architecture,
            launches=tuple(launch for launch in launches if launch.step == step),
            analytic=stated.get(step),
        )
        for step in dict.fromkeys((*stated, *(launch.step for launch in launches)))
    ]
