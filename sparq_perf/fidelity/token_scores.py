"""Next-token metrics of SparQ against dense at the same forced tokens."""

import math

import torch
from torch import Tensor


def next_token_scores(dense: Tensor, sparq: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Means over the steps of each sequence, [batch] each.

    Args:
        dense, sparq: log-probabilities, [batch, steps, vocabulary].
        targets: int64 [batch, steps], the tokens that did follow.

    Returns:
        ``kl_nats``: KL(dense ‖ SparQ); ``agreement``: share of steps with the same most probable token; ``nll_nats``:
        negative log-likelihood of the text under SparQ; ``nll_increase_nats``: how much larger it is than under dense.
    """
    kl = (dense.exp() * (dense - sparq)).sum(-1).clamp(min=0)
    agreement = (dense.argmax(-1) == sparq.argmax(-1)).to(dense.dtype)
    nll, dense_nll = (-logs.gather(-1, targets[..., None])[..., 0] for logs in (sparq, dense))
    scores = {"kl_nats": kl, "agreement": agreement, "nll_nats": nll, "nll_increase_nats": nll - dense_nll}
    return {name: values.mean(-1) for name, values in scores.items()}


def summarised(scores: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    """Means over the sequences, and their standard errors where there are several."""
    means = {name: float(values.double().mean()) for name, values in scores.items()}
    n = len(next(iter(scores.values())))
    if n < 2:
        return means, {}
    return means, {name: float(values.double().std()) / math.sqrt(n) for name, values in scores.items()}


def with_perplexity(means: dict[str, float], n_tokens: int, n_characters: int) -> dict[str, float]:
    """Adds ``perplexity`` and ``bits_per_character`` of the same text."""
    nll = means["nll_nats"]
    bits = nll * n_tokens / math.log(2) / max(n_characters, 1)
    return {**means, "perplexity": math.exp(nll), "bits_per_character": bits}


def stack(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Scores of several batches as those of one."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
