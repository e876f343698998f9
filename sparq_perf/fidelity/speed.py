"""Whole-model decode, timed: SparQ against the faster of two dense ways, in turns."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sparq_perf.fidelity.decoding import Decoder, Prefilled
from sparq_perf.llm import enable_sparq
from sparq_profiles import SparqConfig
from sparq_roofline.deployment.attention import AttentionStep, attention_traffic

ROUNDS = 5
STEPS_A_ROUND = 4
# Selects every position of any cache: the kernels then compute dense attention over the same cache that SparQ has.
EVERY_POSITION = 2**31 - 1
KERNEL = "dense kernel"
SECTOR_BYTES = 32


@dataclass(frozen=True)
class StepTimes:
    """Median seconds of one decode step.

    Attributes:
        dense_s, dense_by: the faster dense way: the model's own attention, or this project's dense kernel.
        sparq_s: by settings.
    """

    dense_s: float
    dense_by: str
    sparq_s: Mapping[SparqConfig, float]


def time_steps(
    model: Any,
    read: Prefilled,
    configs: tuple[SparqConfig, ...],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> StepTimes:
    """Time decode steps of every setting and of dense, round by round, so that all meet the same disturbances.

    A transformers `DynamicCache` copies itself in every step; the dense kernel over this project's cache does not, and
    is often the faster dense.
    """
    own = str(model.config._attn_implementation)
    ways: dict[str | SparqConfig, SparqConfig | None] = {own: None, KERNEL: SparqConfig(1, EVERY_POSITION)}
    ways |= {config: config for config in configs}
    decoders = {way: Decoder(model, read) for way in ways}
    token = read.logits.argmax(-1)
    times: dict[str | SparqConfig, list[float]] = {way: [] for way in ways}
    for round_ in range(ROUNDS + 1):
        for way, config in ways.items():
            handle = None if config is None else enable_sparq(model, config)
            try:
                # Enabling hands caches back when it ends, so each round takes its cache over in one unmeasured step.
                decoders[way].step(token)
                _finish(model)
                start = clock()
                for _ in range(STEPS_A_ROUND):
                    decoders[way].step(token)
                _finish(model)
                taken = clock() - start
                if round_:  # the first compiles and warms up
                    times[way].append(taken / STEPS_A_ROUND)
            finally:
                if handle is not None:
                    handle.disable()
    medians = {way: sorted(samples)[len(samples) // 2] for way, samples in times.items()}
    dense_by = min((own, KERNEL), key=medians.__getitem__)
    return StepTimes(medians[dense_by], dense_by, {config: medians[config] for config in configs})


def _finish(model: Any) -> None:
    """Wait for a GPU, which takes orders ahead of doing them."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def predicted_step_speedup(model: Any, heads: AttentionStep, n_layers: int) -> float:
    """Step speedup where every byte costs the same: (weights + dense attention) / (weights + SparQ attention).

    Weights are every parameter that a step reads, an embedding table that is not the LM head left out; attention is the
    algorithm's minimum traffic in each layer that runs SparQ.
    """
    weights = {parameter.data_ptr(): parameter for parameter in model.parameters()}
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if table.data_ptr() != head.data_ptr():
        weights.pop(table.data_ptr(), None)
    weight_bytes = sum(parameter.numel() * parameter.element_size() for parameter in weights.values())

    def attention_bytes(config: SparqConfig | None) -> float:
        step = AttentionStep(
            heads.batch, heads.seq_len, heads.n_heads, heads.n_kv_heads, heads.head_dim, heads.element_bytes, config
        )
        return n_layers * float(sum(part.moved_bytes for part in attention_traffic(step, SECTOR_BYTES)))

    return float((weight_bytes + attention_bytes(None)) / (weight_bytes + attention_bytes(heads.config)))
