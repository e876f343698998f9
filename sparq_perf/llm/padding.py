"""Where each sequence of a left-padded batch begins, from the mask that a layer is given."""

import torch
from torch import Tensor

from sparq_perf.llm.errors import LlmError


def first_valid_positions(mask: Tensor | None, batch: int, seq_len: int) -> Tensor:
    """Int64 [batch] on the host: the first position that the newest token may attend to.

    Args:
        mask: [batch or 1, 1, 1, seq_len or more], bool (True: attend) or additive (0: attend); None: no padding.
        batch: sequences.
        seq_len: tokens so far, the newest included; a static cache's mask goes on beyond them.

    Raises:
        LlmError: a mask with holes, or one that differs between heads or is made for several new tokens.
    """
    if mask is None:
        return torch.zeros(batch, dtype=torch.int64)
    if mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2] != 1 or mask.shape[3] < seq_len:
        raise LlmError(
            f"SparQ decode: the attention mask is {tuple(mask.shape)}: it must be [batch, 1, 1, {seq_len} or more]; "
            "give the model an attention_mask of [batch, tokens]"
        )
    valid = mask[:, 0, 0, :seq_len]
    valid = (valid if valid.dtype == torch.bool else valid == 0).expand(batch, seq_len)
    n_valid = valid.sum(-1)
    start = seq_len - n_valid
    contiguous = torch.arange(seq_len, device=mask.device) >= start[:, None]
    if not bool((valid == contiguous).all()) or not bool(n_valid.all()):
        raise LlmError(
            "SparQ decode: the attention mask hides positions other than padding on the left: "
            "pad the batch on the left (tokenizer.padding_side = 'left')"
        )
    return start.to("cpu", torch.int64)
