"""Decode steps after one prefill: every setting starts from a copy of the same cache."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prefilled:
    """A left-padded batch of prompts that the model has read, densely.

    Attributes:
        mask: int64 [batch, tokens], 0 at padding.
        logits: [batch, vocabulary], of the first token after the prompts.
    """

    cache: Any
    mask: Tensor
    logits: Tensor

    @property
    def lengths(self) -> Tensor:
        """Tokens of each prompt."""
        return self.mask.sum(-1)


def prefill(model: Any, prompts: list[list[int]], pad_id: int) -> Prefilled:
    """Read prompts as one batch."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        read = model(ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    return Prefilled(read.past_key_values, mask, read.logits[:, -1])


class Decoder:
    """Decode steps from a copy of a prefilled cache."""

    def __init__(self, model: Any, read: Prefilled) -> None:
        self._model = model
        self._cache = copy.deepcopy(read.cache)
        self._mask = read.mask

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to every sequence, int64 [batch]; logits of the next, [batch, vocabulary]."""
        position = self._mask.sum(-1, keepdim=True)
        self._mask = torch.cat([self._mask, torch.ones_like(position)], -1)
        with torch.inference_mode():
            done = self._model(
                tokens[:, None],
                attention_mask=self._mask,
                position_ids=position,
                past_key_values=self._cache,
                use_cache=True,
            )
        logits: Tensor = done.logits[:, -1]
        return logits


def forced_log_probabilities(model: Any, read: Prefilled, forced: Tensor) -> Tensor:
    """Feed given tokens, int64 [batch, steps + 1], the last of which is only predicted.

    Returns:
        Float32 [batch, steps, vocabulary]: log-probabilities of tokens 1 … steps.
    """
    decoder = Decoder(model, read)
    steps = [decoder.step(forced[:, i]).float().log_softmax(-1) for i in range(forced.shape[1] - 1)]
    return torch.stack(steps, 1)


def greedy(model: Any, read: Prefilled, n_tokens: int) -> Tensor:
    """The most probable token at each step, int64 [batch, n_tokens]; the first comes from the dense prefill."""
    decoder = Decoder(model, read)
    tokens = [read.logits.argmax(-1)]
    while len(tokens) < n_tokens:
        tokens.append(decoder.step(tokens[-1]).argmax(-1))
    return torch.stack(tokens, 1)
