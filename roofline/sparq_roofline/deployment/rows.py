"""One row of a sizing: a device, an attention, and all that follows; what is unknown is None with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sparq_profiles import HardwareProfile, ModelProfile, SparqConfig
from sparq_profiles.shape import GroupScore, KLayout
from sparq_roofline.deployment.attention import AttentionTime
from sparq_roofline.deployment.candidates import Demand, Placement
from sparq_roofline.deployment.crossover import LONGEST, Whole, first_win
from sparq_roofline.deployment.economics import rates
from sparq_roofline.deployment.measured_settings import MeasuredLoss
from sparq_roofline.deployment.memory import Memory
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.span import Amount, Span
from sparq_roofline.deployment.step_time import StepTime, compare, step_time
from sparq_roofline.interval import Evidence, Interval
from sparq_roofline.paper import transfer_ratio


@dataclass(frozen=True, slots=True)
class Setting:
    """SparQ's settings, for every layout.

    Attributes:
        transfer_ratio: the paper's element count at the sizing's length, as a fraction of dense.
        loss: what it lost where that was measured; None for the recipe's and a caller's.
    """

    rank: int
    top_k: int
    local_window: int
    mean_value: bool
    transfer_ratio: float
    group_score: GroupScore = "logits"
    loss: MeasuredLoss | None = None

    @classmethod
    def of(cls, model: ModelProfile, config: SparqConfig, seq_len: int, loss: MeasuredLoss | None = None) -> "Setting":
        """The settings of a config, with what they transfer at one length."""
        seen = min(seq_len, model.sliding_window or seq_len)
        ratio = transfer_ratio(seen, model.head_dim, config.rank, min(config.top_k, seen))
        return cls(config.rank, config.top_k, config.local_window, config.mean_value, ratio, config.group_score, loss)

    def config(self, k_layout: KLayout) -> SparqConfig:
        """As a config with one layout."""
        return SparqConfig(self.rank, self.top_k, self.local_window, self.mean_value, self.group_score, k_layout)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a step's time goes."""

    layers_s: Interval
    attention_s: Interval
    head_s: Interval
    launches_s: Interval
    all_reduce_s: Interval

    @classmethod
    def of(cls, time: StepTime) -> "Parts":
        """The parts of one step's time."""
        spans = (time.layers, time.attention, time.head, time.launches, time.all_reduce)
        return cls(*(span.interval() for span in spans))


@dataclass(frozen=True, slots=True)
class Row:
    """One device with one attention.

    Attributes:
        k_layout, setting: None for dense; rank and top_k are the setting's.
        n_gpus: tensor-parallel degree.
        memory: of each GPU, sequences at their final length.
        largest_batch: that memory holds; ``batch`` may be smaller for the latency's sake.
        attention_speedup, step_speedup: against dense with the same batch and GPUs.
        crossover_seq_len: smallest length at which the step is faster than dense, at this batch and these GPUs.
        crossover_batch: smallest batch, up to the largest, at this length.
        reasons: why each field that is None is None.
    """

    hardware: str
    title: str
    attention: Literal["dense", "sparq"]
    k_layout: KLayout | None
    rank: int | None
    top_k: int | None
    setting: Setting | None
    seq_len: int
    n_gpus: int | None
    batch: int | None
    largest_batch: int | None
    memory: Memory | None
    tpot_s: Interval | None
    parts: Parts | None
    tokens_per_s: Interval | None
    tokens_per_s_per_gpu: Interval | None
    usd_per_mtok: Interval | None
    energy_per_token_j: Interval | None
    attention_speedup: Interval | None
    step_speedup: Interval | None
    crossover_seq_len: int | None
    crossover_batch: int | None
    evidence: Evidence | None
    reasons: Mapping[str, str]


_OF_A_PLACEMENT = (
    "n_gpus",
    "batch",
    "largest_batch",
    "memory",
    "tpot_s",
    "parts",
    "tokens_per_s",
    "tokens_per_s_per_gpu",
    "usd_per_mtok",
    "energy_per_token_j",
    "attention_speedup",
    "step_speedup",
    "crossover_seq_len",
    "crossover_batch",
    "evidence",
)
_NO_SPARQ = "dense attention has no SparQ setting"
_IS_DENSE = "this is dense attention"


def absent_row(
    hardware: HardwareProfile, k_layout: KLayout | None, setting: Setting | None, demand: Demand, reason: str
) -> Row:
    """A row of a device that cannot serve the demand, with the reason in every field."""
    return Row(
        hardware=hardware.name,
        title=hardware.title,
        attention="dense" if k_layout is None else "sparq",
        k_layout=k_layout,
        rank=setting.rank if setting else None,
        top_k=setting.top_k if setting else None,
        setting=setting,
        seq_len=demand.seq_len,
        **dict.fromkeys(_OF_A_PLACEMENT),
        reasons=dict.fromkeys(_OF_A_PLACEMENT, reason) | _setting_reasons(k_layout, setting, reason),
    )


def build_row(
    hardware: HardwareProfile,
    served: Served,
    demand: Demand,
    setting: Setting | None,
    k_layout: KLayout | None,
    placed: Placement,
    *,
    price_usd_per_h: float | None,
    power_share: tuple[float, float, float],
    attention: AttentionTime,
    evidence: Evidence,
) -> Row:
    """The row of a placement; setting and layout are None for dense."""
    held, batch = placed.held, placed.batch
    config = setting.config(k_layout) if setting and k_layout else None

    def step(batch: Amount, seq_len: Amount, which: SparqConfig | None) -> StepTime:
        return step_time(hardware, served, held, batch, seq_len, which, attention)

    time = step(batch, demand.seq_len, config)
    power = hardware.power_limit_w
    found = rates(
        time.total,
        batch=batch,
        n_gpus=held.n_gpus,
        price_usd_per_h=price_usd_per_h,
        power_limit_w=power.value if power else None,
        power_share=power_share,
    )
    row = Row(
        hardware=hardware.name,
        title=hardware.title,
        attention="sparq" if config else "dense",
        k_layout=config.k_layout if config else None,
        rank=config.rank if config else None,
        top_k=config.top_k if config else None,
        setting=setting if config else None,
        seq_len=demand.seq_len,
        n_gpus=held.n_gpus,
        batch=batch,
        largest_batch=placed.most,
        memory=placed.memory,
        tpot_s=time.total.interval(),
        parts=Parts.of(time),
        tokens_per_s=found.tokens_per_s.interval(),
        tokens_per_s_per_gpu=found.tokens_per_s_per_gpu.interval(),
        usd_per_mtok=_known(found.usd_per_mtok),
        energy_per_token_j=_known(found.energy_per_token_j),
        attention_speedup=Interval(1.0, 1.0, 1.0),
        step_speedup=Interval(1.0, 1.0, 1.0),
        crossover_seq_len=None,
        crossover_batch=None,
        evidence=evidence,
        reasons=_unknown(hardware, price_usd_per_h, setting, k_layout),
    )
    if config is None:
        return row
    compared = compare(step(batch, demand.seq_len, None), time)

    def speedup(batch: Amount, seq_len: Amount) -> Amount:
        both = compare(step(batch, seq_len, None), step(batch, seq_len, config))
        return both.step_speedup.expected

    def by_length(lengths: Whole) -> Amount:
        return speedup(np.float64(batch), lengths.astype(np.float64))

    def by_batch(batches: Whole) -> Amount:
        return speedup(batches.astype(np.float64), np.float64(demand.seq_len))

    length, least = first_win(by_length, 1, LONGEST), first_win(by_batch, 1, placed.most)
    reasons = dict(row.reasons)
    if length is None:
        reasons["crossover_seq_len"] = f"no step up to {LONGEST:,} tokens is faster than dense at batch {batch:,}"
    if least is None:
        reasons["crossover_batch"] = (
            f"no batch up to the largest, {placed.most:,}, is faster than dense at {demand.seq_len:,} tokens"
        )
    return replace(
        row,
        attention_speedup=compared.attention_speedup.interval(),
        step_speedup=compared.step_speedup.interval(),
        crossover_seq_len=length,
        crossover_batch=least,
        reasons=reasons,
    )


def _known(span: Span | None) -> Interval | None:
    return None if span is None else span.interval()


def _setting_reasons(k_layout: KLayout | None, setting: Setting | None, reason: str) -> dict[str, str]:
    if k_layout is None:
        return dict.fromkeys(("k_layout", "rank", "top_k", "setting"), _NO_SPARQ)
    return {} if setting else dict.fromkeys(("rank", "top_k", "setting"), reason)


def _unknown(
    hardware: HardwareProfile, price_usd_per_h: float | None, setting: Setting | None, k_layout: KLayout | None
) -> dict[str, str]:
    reasons = _setting_reasons(k_layout, setting, "")
    if k_layout is None:
        reasons |= dict.fromkeys(("crossover_seq_len", "crossover_batch"), _IS_DENSE)
    if price_usd_per_h is None:
        reasons["usd_per_mtok"] = f"{hardware.name} states no price_usd_per_h: give --price {hardware.name}=USD_PER_H"
    if hardware.power_limit_w is None:
        reasons["energy_per_token_j"] = f"{hardware.name} states no power_limit_w"
    return reasons
