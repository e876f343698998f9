"""Records as a table that a reader can check."""

from typing import Any

from sparq_perf.fidelity.table import markdown
from sparq_profiles import SparqConfig


def test_a_table_for_each_task_and_size(lines: Any) -> None:
    scores = {"kl_nats": 0.0, "perplexity": 8.0}
    dense = lines.fidelity(key="a", config=None, transfer_ratio=None, layers=(), scores=scores, stderr={})
    few = lines.fidelity(key="b", config=SparqConfig(8, 64, 16, False, "softmax"), transfer_ratio=0.125)
    more = lines.fidelity(key="c", config=SparqConfig(16, 64), transfer_ratio=0.25, scores={"kl_nats": 0.02}, stderr={})
    again = lines.fidelity(
        key="c", config=SparqConfig(16, 64), transfer_ratio=0.25, scores={"kl_nats": 0.03}, stderr={}
    )
    other = lines.fidelity(key="d", task="squad", scores={"accuracy": 0.5}, stderr={})
    text = markdown([dense, few, more, again, other])
    assert text.splitlines()[:9] == [
        "### wikitext, context 100",
        "",
        "tiny, 2 examples, batch 1, 8 decode steps each.",
        "",
        "| transfers | r | k | l | mean value | group rule | KL, nats | perplexity |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 1 (dense, sparq-cpu) |  |  |  |  |  | 0.0000 | 8.00 |",
        "| 1/4.0 | 16 | 64 | 0 | yes | logits | 0.0300 |  |",
        "| 1/8.0 | 8 | 64 | 16 | no | softmax | 0.1000 ± 0.0100 |  |",
    ]
    assert "### squad, context 100" in text
    assert "| 0.500 |" in text
