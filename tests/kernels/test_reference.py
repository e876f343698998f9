from collections.abc import Callable
from dataclasses import replace
from math import exp, log, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from sparq_kernels.reference import dense_attention, select_positions, sparq_attention, sparq_steps, top_channels
from sparq_profiles import SparqConfig

Refusal = Callable[..., str]
Inputs = Callable[..., Any]

LN3 = log(3.0)


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def one_head(k_rows: Tensor, v_rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as the K and V of one sequence and one KV head."""
    return k_rows[None, None], v_rows[None, None]


def test_dense_by_hand() -> None:
    # d = 4: logits are q·k / 2 = (0, ln 3), weights (1/4, 3/4).
    q = tensor([[2.0, 0.0, 0.0, 0.0]])
    k, v = one_head(tensor([0.0, 5.0, 5.0, 5.0], [LN3, 7.0, 7.0, 7.0]), tensor([4.0, 0, 0, 0], [8.0, 4, 0, 0]))
    # 4/4 + 8 * 3/4 = 7; 4 * 3/4 = 3
    torch.testing.assert_close(dense_attention(q, k, v), tensor([[7.0, 3.0, 0.0, 0.0]]))


def test_dense_shares_a_kv_head_among_its_group() -> None:
    q = tensor([[2.0, 0, 0, 0], [0.0, 2, 0, 0], [2.0, 0, 0, 0], [0.0, 2, 0, 0]])
    k = tensor([[[LN3, 0, 0, 0], [0, 0, 0, 0]], [[0, LN3, 0, 0], [0, 0, 0, 0]]])[0][None]
    v = tensor([[[4.0, 0, 0, 0], [0, 0, 0, 0]], [[0, 4.0, 0, 0], [0, 0, 0, 0]]])[0][None]
    # Head 0 prefers row 0 of KV head 0 (3/4); head 1 has logits (0, 0) there. Heads 2 and 3 the reverse on KV head 1.
    expected = tensor([[3.0, 0, 0, 0], [2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 3.0, 0, 0]])
    torch.testing.assert_close(dense_attention(q, k, v), expected)


def test_sparq_by_hand() -> None:
    # d = 4, r = 1: channel 0 alone, |3| of Σ|q| = 4: temperature √(4 * 3/4) = √3.
    q = tensor([[3.0, 1.0, 0.0, 0.0]])
    k, v = one_head(
        tensor([0.0, 0, 0, 0], [sqrt(3) * log(2) / 3, 2.0, 0, 0], [sqrt(3) * log(5) / 3, -4.0, 0, 0]),
        tensor([8.0, 0, 0, 0], [0, 8.0, 0, 0], [0, 0, 8.0, 0]),
    )
    steps = sparq_steps(q, k, v, SparqConfig(rank=1, top_k=2))
    assert steps.channels.tolist() == [[[0]]]
    torch.testing.assert_close(steps.scores, tensor([[[0.0, log(2), log(5)]]])[0][None])
    assert steps.selected.tolist() == [[[False, True, True]]]
    # softmax of the scores: 1/8, 2/8, 5/8
    torch.testing.assert_close(steps.coverage, tensor([[7 / 8]]))
    torch.testing.assert_close(steps.mean_value, tensor([[8 / 3, 8 / 3, 8 / 3, 0.0]]))
    # exact logits of rows 1 and 2: (√3 ln 2 + 2) / 2 and (√3 ln 5 - 4) / 2
    first, second = exp((sqrt(3) * log(2) + 2) / 2), exp((sqrt(3) * log(5) - 4) / 2)
    share = first / (first + second)
    mean = 8 / 3 / 8
    expected = tensor([[mean, 7 * share + mean, 7 * (1 - share) + mean, 0.0]])
    torch.testing.assert_close(steps.output, expected)
    without = sparq_attention(q, k, v, SparqConfig(rank=1, top_k=2, mean_value=False))
    torch.testing.assert_close(without, tensor([[0.0, 8 * share, 8 * (1 - share), 0.0]]))


def test_channels_are_chosen_for_the_group() -> None:
    # Σ|q| over the two heads: 3, 4, 4, 1. The tie of 1 and 2 goes to channel 1.
    grouped = tensor([[-3.0, 1.0, 0.0, 0.5], [0.0, -3.0, 4.0, 0.5]])[0][None, None]
    assert top_channels(grouped, 1).tolist() == [[[1]]]
    assert top_channels(grouped, 2).tolist() == [[[1, 2]]]
    assert top_channels(grouped, 3).tolist() == [[[0, 1, 2]]]


def test_each_head_has_its_own_temperature() -> None:
    # r = 1 picks channel 0 (3 + 1 against 0 + 3). Head 0 keeps all of its |q|: √4; head 1 keeps 1 of 4: √(4/4).
    q = tensor([[3.0, 0, 0, 0], [1.0, 3.0, 0, 0]])
    k, v = one_head(tensor([2.0, 9.0, 9.0, 9.0]), tensor([0.0, 0, 0, 0]))
    scores = sparq_steps(q, k, v, SparqConfig(rank=1, top_k=1)).scores
    torch.testing.assert_close(scores.flatten(), tensor(3.0 * 2 / 2, 1.0 * 2 / 1))


def select(scores: list[float], *, start: int = 0, **config: Any) -> list[int]:
    row = tensor(scores)[0]
    valid = torch.arange(len(scores))[None, None] >= start
    masked = row.masked_fill(~valid[0, 0], float("-inf"))
    chosen = select_positions(masked[None, None, None], valid, SparqConfig(rank=1, **config))
    return chosen[0, 0].nonzero().flatten().tolist()


def test_ties_go_to_the_lower_position() -> None:
    assert select([1, 5, 2, 5, 2, 2], top_k=2) == [1, 3]
    assert select([1, 5, 2, 5, 2, 2], top_k=3) == [1, 2, 3]
    assert select([1, 5, 2, 5, 2, 2], top_k=4) == [1, 2, 3, 4]
    assert select([7] * 6, top_k=3) == [0, 1, 2]


def test_local_window_counts_in_the_top_k() -> None:
    assert select([9, 8, 7, 1, 2, 3], top_k=3, local_window=2) == [0, 4, 5]
    assert select([9, 8, 7, 1, 2, 3], top_k=3, local_window=3) == [3, 4, 5]
    assert select([9, 8, 7, 1, 2, 3], top_k=4, local_window=1) == [0, 1, 2, 5]


def test_padding_is_never_selected() -> None:
    assert select([9, 8, 7, 1, 2, 3], top_k=2, start=2) == [2, 5]
    assert select([9, 8, 7, 1, 2, 3], top_k=5, start=3) == [3, 4, 5]
    assert select([9, 8, 7, 1, 2, 3], top_k=4, local_window=4, start=4) == [4, 5]
    assert select([9, 8, 7], top_k=2, start=3) == []


def test_group_rules_differ_for_a_group_and_not_for_one_head() -> None:
    # d = r = 1, so scores are q·k. Head 0 scores (0, 10, 0), head 1 (6, -10, 5).
    # Sum of logits: 6, 0, 5. Sum of softmaxes: e^-10 + e^0/(1 + e^-1) = 0.73, ~1, 0.27.
    k, v = one_head(tensor([0.0, 6.0], [10.0, -10.0], [0.0, 5.0]), torch.eye(3, 2, dtype=torch.float64))
    q = tensor([[1.0, 0.0], [0.0, 1.0]]) * sqrt(2)
    config = SparqConfig(rank=2, top_k=1)
    assert sparq_steps(q, k, v, config).selected.tolist() == [[[True, False, False]]]
    other = replace(config, group_score="softmax")
    assert sparq_steps(q, k, v, other).selected.tolist() == [[[False, True, False]]]
    for head in range(2):
        alone = q[:, head : head + 1]
        one, two = (sparq_steps(alone, k, v, rule) for rule in (config, other))
        assert torch.equal(one.selected, two.selected)
        assert torch.equal(one.output, two.output)


def test_rank_of_all_channels_gives_exact_scores(make_inputs: Inputs) -> None:
    case = make_inputs(2, 2, 3, 50, 20, dtype=torch.float64)
    steps = sparq_steps(case.q, case.k, case.v, SparqConfig(rank=20, top_k=8))
    exact = case.q.reshape(2, 2, 3, 20) @ case.k.transpose(-1, -2) / sqrt(20)
    torch.testing.assert_close(steps.scores, exact)


@pytest.mark.parametrize("top_k", [50, 51, 10_000])
@pytest.mark.parametrize("group_score", ["logits", "softmax"])
def test_top_k_of_the_whole_sequence_is_dense(make_inputs: Inputs, top_k: int, group_score: Any) -> None:
    case = make_inputs(2, 2, 2, 50, 16, dtype=torch.float64)
    steps = sparq_steps(case.q, case.k, case.v, SparqConfig(rank=2, top_k=top_k, group_score=group_score))
    assert (steps.coverage == 1).all()
    assert steps.selected.all()
    torch.testing.assert_close(steps.output, dense_attention(case.q, case.k, case.v), rtol=0, atol=1e-14)


def test_top_k_of_a_sequences_valid_length_is_dense(make_inputs: Inputs) -> None:
    case = make_inputs(3, 2, 2, 40, 16, dtype=torch.float64)
    start = torch.tensor([0, 30, 40])  # 40, 10 and no valid positions
    steps = sparq_steps(case.q, case.k, case.v, SparqConfig(rank=2, top_k=10), valid_start=start)
    dense = dense_attention(case.q, case.k, case.v, valid_start=start)
    assert (steps.coverage[1] == 1).all()
    assert (steps.coverage[0] < 1).all()
    assert steps.selected.sum(-1).tolist() == [[10, 10], [10, 10], [0, 0]]
    torch.testing.assert_close(steps.output[1], dense[1], rtol=0, atol=1e-14)


def test_query_of_zeros_attends_evenly(make_inputs: Inputs) -> None:
    case = make_inputs(1, 1, 2, 12, 8, dtype=torch.float64)
    case.q[:, 0] = 0
    steps = sparq_steps(case.q, case.k, case.v, SparqConfig(rank=3, top_k=3))
    assert (steps.scores[0, 0, 0] == 0).all()
    assert steps.coverage[0, 0, 0] == pytest.approx(3 / 12)
    chosen = case.v[0, 0][steps.selected[0, 0]].mean(0)
    torch.testing.assert_close(steps.output[0, 0], 0.25 * chosen + 0.75 * case.v[0, 0].mean(0))


def test_a_sequence_without_valid_positions_gives_zeros(make_inputs: Inputs) -> None:
    case = make_inputs(2, 1, 2, 12, 8, dtype=torch.float64)
    start = torch.tensor([12, 3])
    for mean_value in (True, False):
        config = SparqConfig(rank=3, top_k=3, local_window=2, mean_value=mean_value)
        y = sparq_attention(case.q, case.k, case.v, config, valid_start=start)
        assert (y[0] == 0).all()
        assert (y[1] != 0).any()
    assert (dense_attention(case.q, case.k, case.v, valid_start=start)[0] == 0).all()


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), float("-inf"), 1e300])
@pytest.mark.parametrize("group_score", ["logits", "softmax"])
def test_padding_is_never_looked_at(make_inputs: Inputs, garbage: float, group_score: Any) -> None:
    case = make_inputs(2, 2, 2, 30, 8, dtype=torch.float64)
    start = torch.tensor([7, 28])
    config = SparqConfig(rank=3, top_k=5, local_window=1, group_score=group_score)
    clean = sparq_steps(case.q, case.k, case.v, config, valid_start=start)
    dense = dense_attention(case.q, case.k, case.v, valid_start=start)
    for sequence in range(2):
        case.k[sequence, :, : start[sequence]] = garbage
        case.v[sequence, :, : start[sequence]] = garbage
    dirty = sparq_steps(case.q, case.k, case.v, config, valid_start=start)
    for name in ("scores", "selected", "coverage", "mean_value", "output"):
        assert torch.equal(getattr(dirty, name), getattr(clean, name)), name
    assert torch.equal(dense_attention(case.q, case.k, case.v, valid_start=start), dense)


def test_padding_is_as_good_as_absence(make_inputs: Inputs) -> None:
    case = make_inputs(1, 2, 2, 30, 8, dtype=torch.float64)
    config = SparqConfig(rank=3, top_k=5, local_window=1)
    padded = sparq_attention(case.q, case.k, case.v, config, valid_start=torch.tensor([9]))
    cut = sparq_attention(case.q, case.k[:, :, 9:], case.v[:, :, 9:], config)
    torch.testing.assert_close(padded, cut, rtol=0, atol=1e-14)


@pytest.mark.parametrize("k_layout", ["channel_major", "row_major"])
def test_k_layout_changes_nothing(make_inputs: Inputs, k_layout: Any) -> None:
    case = make_inputs(1, 2, 2, 30, 8)
    config = SparqConfig(rank=3, top_k=5)
    y = sparq_attention(case.q, case.k, case.v, replace(config, k_layout=k_layout))
    assert torch.equal(y, sparq_attention(case.q, case.k, case.v, config))


@pytest.mark.parametrize(
    ("q", "k", "v", "start", "message"),
    [
        ((1, 2, 8), (1, 2, 5), (1, 2, 5), None, "they must be [batch, n_heads, head_dim] and twice"),
        ((1, 2, 8), (1, 2, 5, 8), (1, 2, 6, 8), None, "they must be [batch, n_heads, head_dim] and twice"),
        ((2, 2, 8), (1, 2, 5, 8), (1, 2, 5, 8), None, "batch and head_dim must be equal"),
        ((1, 2, 4), (1, 2, 5, 8), (1, 2, 5, 8), None, "batch and head_dim must be equal"),
        ((1, 3, 8), (1, 2, 5, 8), (1, 2, 5, 8), None, "n_heads must be a multiple of n_kv_heads"),
        ((1, 2, 8), (1, 2, 0, 8), (1, 2, 0, 8), None, "seq_len at least 1"),
        ((1, 2, 8), (1, 2, 5, 8), (1, 2, 5, 8), torch.tensor([1, 2]), "valid_start is torch.int64 (2,)"),
        ((1, 2, 8), (1, 2, 5, 8), (1, 2, 5, 8), torch.tensor([1.0]), "valid_start is torch.float32 (1,)"),
    ],
)
def test_refused_shapes(refusal: Refusal, q: Any, k: Any, v: Any, start: Tensor | None, message: str) -> None:
    tensors = [torch.zeros(shape) for shape in (q, k, v)]
    assert message in refusal(dense_attention, *tensors, valid_start=start)
    assert message in refusal(sparq_attention, *tensors, SparqConfig(rank=1, top_k=1), valid_start=start)


def test_refused_types_and_rank(refusal: Refusal, make_inputs: Inputs) -> None:
    case = make_inputs(1, 1, 1, 4, 8)
    assert "must be of one type" in refusal(dense_attention, case.q.double(), case.k, case.v)
    message = refusal(sparq_attention, case.q, case.k, case.v, SparqConfig(rank=9, top_k=1))
    assert "rank is 9 and head_dim is 8" in message
