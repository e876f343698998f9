"""The paper's own element counts, exactly (arXiv 2312.04985, equations 3 and 11).

They count elements per query head of an MHA model, not bytes, and hold no query or output. `traffic.py` has the
bytes that a device moves, for MHA and GQA.
"""


def dense_elements_per_head(seq_len: int, head_dim: int) -> int:
    """Elements that dense attention moves per head and step, equation 3: ``2·S·d + 2·d``."""
    return 2 * seq_len * head_dim + 2 * head_dim


def sparq_elements_per_head(seq_len: int, head_dim: int, rank: int, top_k: int) -> int:
    """Elements that SparQ moves per head and step, equation 11: ``S·r + 2·k·d + 4·d``."""
    return seq_len * rank + 2 * top_k * head_dim + 4 * head_dim


def transfer_ratio(seq_len: int, head_dim: int, rank: int, top_k: int) -> float:
    """SparQ's elements as a fraction of dense's: the paper's compression ratio."""
    return sparq_elements_per_head(seq_len, head_dim, rank, top_k) / dense_elements_per_head(seq_len, head_dim)
