"""The trade-offs of each device as plain data: no plotly, no HTML."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparq_profiles import HardwareProfile, SparqConfig
from sparq_profiles.shape import K_LAYOUTS, KLayout
from sparq_roofline.deployment.candidates import Placement, place
from sparq_roofline.deployment.choosing import Recommendation
from sparq_roofline.deployment.memory import largest_batch
from sparq_roofline.deployment.points import Prices, Side, evaluate
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import Shard, shard
from sparq_roofline.deployment.sizing import Sizing
from sparq_roofline.deployment.step_time import StepTime

CONTEXTS = tuple(1024 * 2**i for i in range(8))
MAP_LENGTHS = tuple(512 * 2**i for i in range(9))
MAP_BATCHES = tuple(2**i for i in range(9))
BATCH_PROBES = 24
SECONDS_PER_H = 3600.0


@dataclass(frozen=True, slots=True)
class Point:
    """One batch or context of a curve.

    Attributes:
        at: milliseconds a token, or tokens of context.
        value: tokens per second and GPU, or dollars (GPU-hours where unpriced) a million tokens.
        chosen: whether it is the row of the table.
    """

    at: float
    value: float
    batch: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """One attention's points; ``k_layout`` None is dense."""

    k_layout: KLayout | None
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class MapCell:
    """The step's speedup at one length and batch; ``fits`` says whether memory holds it."""

    seq_len: int
    batch: int
    speedup: float
    lower: float
    attention: float
    fits: bool


@dataclass(frozen=True, slots=True)
class CrossoverMap:
    """Cells of one layout, batches and lengths ascending."""

    k_layout: KLayout
    cells: tuple[MapCell, ...]


@dataclass(frozen=True, slots=True)
class StepBar:
    """Where one attention's step goes, seconds by part, all at the same batch and length."""

    k_layout: KLayout | None
    parts: tuple[tuple[str, float], ...]
    total_s: float


@dataclass(frozen=True, slots=True)
class Study:
    """Everything drawn of one device, on the recommendation's number of GPUs.

    Attributes:
        priced: whether `cost` is in dollars; else in GPU-hours.
        crossover: None where there is no SparQ setting.
    """

    hardware: str
    title: str
    n_gpus: int
    batch: int
    priced: bool
    latency: tuple[Curve, ...]
    cost: tuple[Curve, ...]
    crossover: CrossoverMap | None
    bars: tuple[StepBar, ...]


def build_studies(question: Question, sizing: Sizing) -> tuple[Study, ...]:
    """A study of each device that has a recommendation, in their order."""
    profiles = {profile.name: profile for profile in question.hardware}
    return tuple(_study(question, sizing, profiles[item.hardware], item) for item in sizing.recommendations)


def _study(question: Question, sizing: Sizing, hardware: HardwareProfile, item: Recommendation) -> Study:
    served, held = question.served(), shard(question.model, item.n_gpus)
    power = hardware.power_limit_w
    prices = Prices(
        question.price_usd_per_h(hardware),
        power.value if power else None,
        question.power_share,
        question.demand.reserve_fraction,
    )
    configs: list[tuple[KLayout | None, SparqConfig | None]] = [(None, None)]
    for layout in K_LAYOUTS:
        setting = sizing.setting_of(hardware.name, layout)
        if setting is not None:
            configs.append((layout, setting.config(layout)))
    bench = _Bench(question, hardware, served, held, prices)
    return Study(
        hardware=hardware.name,
        title=hardware.title,
        n_gpus=item.n_gpus,
        batch=item.batch,
        priced=prices.usd_per_h is not None,
        latency=tuple(bench.latency(layout, config) for layout, config in configs),
        cost=tuple(bench.cost(layout, config) for layout, config in configs),
        crossover=bench.crossover(item.k_layout or K_LAYOUTS[0], sizing),
        bars=tuple(bench.bar(layout, config, item.batch) for layout, config in configs),
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """One device with one number of GPUs, on which points are computed."""

    question: Question
    hardware: HardwareProfile
    served: Served
    held: Shard
    prices: Prices

    def sides(
        self, batch: NDArray[np.float64], seq_len: NDArray[np.float64], *configs: SparqConfig | None
    ) -> tuple[Side, ...]:
        """Each config at every pair of batch and length."""
        return evaluate(
            self.hardware, self.served, self.held, batch, seq_len, configs, self.prices, self.question.attention
        )

    def latency(self, layout: KLayout | None, config: SparqConfig | None) -> Curve:
        """Throughput against time per token, from batch 1 to the largest that fits."""
        demand = self.question.demand
        most = largest_batch(
            self.hardware,
            self.served,
            self.held,
            tokens=demand.tokens,
            config=config,
            reserve_fraction=demand.reserve_fraction,
        )
        if most < 1:
            return Curve(layout, ())
        placed = place(self.hardware, self.served, demand, config, self.question.attention, self.held.n_gpus)
        chosen = placed.batch if isinstance(placed, Placement) else 0
        spread = np.rint(np.geomspace(1, most, BATCH_PROBES)).astype(int)
        batches = np.array(sorted({*spread.tolist(), chosen} - {0}), dtype=np.float64)
        (side,) = self.sides(batches, np.full(batches.shape, float(demand.seq_len)), config)
        times, rates = side.time.total.expected, side.rates.tokens_per_s_per_gpu.expected
        return Curve(
            layout,
            tuple(
                Point(float(time) * 1e3, float(rate), int(batch), int(batch) == chosen)
                for batch, time, rate in zip(batches, times, rates, strict=True)
            ),
        )

    def cost(self, layout: KLayout | None, config: SparqConfig | None) -> Curve:
        """Cost a million tokens against context, each with the batch that the demand allows there."""
        points = []
        demand = self.question.demand
        for context in sorted({*CONTEXTS, demand.context}):
            here = replace(demand, context=context)
            placed = place(self.hardware, self.served, here, config, self.question.attention, self.held.n_gpus)
            if isinstance(placed, str):
                continue
            batch = np.array([float(placed.batch)])
            (side,) = self.sides(batch, np.array([float(here.seq_len)]), config)
            gpu_h = 1e6 / float(side.rates.tokens_per_s_per_gpu.expected[0]) / SECONDS_PER_H
            value = gpu_h * (self.prices.usd_per_h or 1.0)
            points.append(Point(float(context), value, placed.batch, context == demand.context))
        return Curve(layout, tuple(points))

    def crossover(self, layout: KLayout, sizing: Sizing) -> CrossoverMap | None:
        """The step's speedup over lengths and batches."""
        setting = sizing.setting_of(self.hardware.name, layout)
        if setting is None:
            return None
        batches, lengths = np.meshgrid(MAP_BATCHES, MAP_LENGTHS, indexing="ij")
        flat = (batches.ravel().astype(np.float64), lengths.ravel().astype(np.float64))
        (side,) = self.sides(*flat, setting.config(layout))
        columns = (
            *flat,
            side.step_speedup.expected,
            side.step_speedup.lower,
            side.attention_speedup.expected,
            side.fits,
        )
        return CrossoverMap(
            layout,
            tuple(
                MapCell(int(length), int(batch), float(speedup), float(lower), float(attention), bool(fits))
                for batch, length, speedup, lower, attention, fits in zip(*columns, strict=True)
            ),
        )

    def bar(self, layout: KLayout | None, config: SparqConfig | None, batch: int) -> StepBar:
        """Where the step goes at one batch."""
        (side,) = self.sides(np.array([float(batch)]), np.array([float(self.question.demand.seq_len)]), config)
        return StepBar(layout, parts_of(side.time), float(side.time.total.expected[0]))


def parts_of(time: StepTime) -> tuple[tuple[str, float], ...]:
    """Expected seconds of each part that takes any."""
    spans = {
        "weights": time.layers,
        "attention": time.attention,
        "LM head": time.head,
        "launches": time.launches,
        "all-reduce": time.all_reduce,
    }
    parts = ((name, float(np.asarray(span.expected).ravel()[0])) for name, span in spans.items())
    return tuple((name, seconds) for name, seconds in parts if seconds > 0)
