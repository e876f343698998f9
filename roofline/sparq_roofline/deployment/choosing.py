"""What a sizing recommends on each device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sparq_profiles.shape import GroupScore, KLayout
from sparq_roofline.deployment.rows import Row


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The row of a device with the most tokens per second and GPU.

    Attributes:
        gain: its tokens per second and GPU over dense's on as many GPUs, each at its own batch; None where dense
            cannot serve the demand on them.
        certain: whether even the lower end of the step's speedup exceeds 1; None for dense.
        why: one sentence.
    """

    hardware: str
    attention: Literal["dense", "sparq"]
    k_layout: KLayout | None
    rank: int | None
    top_k: int | None
    local_window: int | None
    mean_value: bool | None
    group_score: GroupScore | None
    transfer_ratio: float | None
    n_gpus: int
    batch: int
    tokens_per_s_per_gpu: float
    usd_per_mtok: float | None
    gain: float | None
    certain: bool | None
    why: str


def recommend(even: Mapping[int, Sequence[Row]], reason: str | None) -> Recommendation | None:
    """The best of a device's rows; None where there is none.

    Args:
        even: by number of GPUs the rows of each attention on just so many, dense first.
        reason: why SparQ has no settings, where it has none.
    """
    able = [(n, row) for n, rows in even.items() for row in rows if row.tokens_per_s_per_gpu is not None]
    if not able:
        return None
    n_gpus, best = max(able, key=lambda item: (_throughput(item[1]), -item[0]))
    dense = even[n_gpus][0]
    gain = _throughput(best) / _throughput(dense) if dense.tokens_per_s_per_gpu is not None else None
    sparq = best.setting
    assert best.batch is not None
    return Recommendation(
        hardware=best.hardware,
        attention=best.attention,
        k_layout=best.k_layout,
        rank=best.rank,
        top_k=best.top_k,
        local_window=sparq.local_window if sparq else None,
        mean_value=sparq.mean_value if sparq else None,
        group_score=sparq.group_score if sparq else None,
        transfer_ratio=sparq.transfer_ratio if sparq else None,
        n_gpus=n_gpus,
        batch=best.batch,
        tokens_per_s_per_gpu=_throughput(best),
        usd_per_mtok=best.usd_per_mtok.expected if best.usd_per_mtok else None,
        gain=gain,
        certain=best.step_speedup.lower > 1 if sparq and best.step_speedup else None,
        why=_why(best, dense, gain, reason),
    )


def _throughput(row: Row) -> float:
    return row.tokens_per_s_per_gpu.expected if row.tokens_per_s_per_gpu else 0.0


def _why(best: Row, dense: Row, gain: float | None, reason: str | None) -> str:
    if best.attention == "dense":
        return reason or "no SparQ layout has more tokens a second and GPU than dense"
    assert best.step_speedup is not None
    assert best.attention_speedup is not None
    step = (
        f"attention {best.attention_speedup.expected:.2f}× faster makes the step "
        f"{best.step_speedup.expected:.2f}× faster at batch {best.batch:,}"
    )
    if gain is None:
        return f"{step}; dense cannot serve this on so many GPUs: {dense.reasons['batch']}"
    if best.batch == dense.batch:
        return step
    return f"{step}; {gain:.2f}× the tokens a second of dense, whose batch there is {dense.batch:,}"
