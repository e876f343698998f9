import pytest

from sparq_roofline import paper


def test_the_papers_example() -> None:
    # 2 * 4096 * 128 + 2 * 128
    assert paper.dense_elements_per_head(seq_len=4096, head_dim=128) == 1_048_832
    # 4096 * 32 + 2 * 128 * 128 + 4 * 128 = 131,072 + 32,768 + 512
    assert paper.sparq_elements_per_head(seq_len=4096, head_dim=128, rank=32, top_k=128) == 164_352


def test_transfer_ratio() -> None:
    assert paper.transfer_ratio(4096, 128, 32, 128) == 164_352 / 1_048_832
    assert 1 / paper.transfer_ratio(4096, 128, 32, 128) == pytest.approx(6.38, abs=0.005)  # "6.4x" in Table 4


def test_counts_are_whole_numbers() -> None:
    assert isinstance(paper.dense_elements_per_head(7, 20), int)
    assert isinstance(paper.sparq_elements_per_head(7, 20, 3, 2), int)
