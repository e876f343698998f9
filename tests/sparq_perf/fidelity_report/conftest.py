"""Fidelity records to make pages of."""

from typing import Any

import pytest

from sparq_perf.records.fidelity import LayerFidelity
from sparq_profiles import AttentionShape, SparqConfig

HEADS = AttentionShape(2, 108, 4, 2, 32, "float32")
NEAR, FAR, BARE = SparqConfig(16, 64, 16), SparqConfig(8, 32, 8), SparqConfig(8, 32, 8, mean_value=False)


class Grid:
    """Lines of three settings and dense; ``model`` and ``dataset`` stand for what a stranger may have named."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines

    def line(self, config: SparqConfig | None, **fields: Any) -> Any:
        told = {"key": f"{fields.get('task')}/{fields.get('context')}/{config}", "shape": HEADS, "config": config}
        told |= {"n_examples": 6, "layers": (), "stderr": {}, "scores": {}, "transfer_ratio": 0.5 if config else None}
        return self._lines.fidelity(**told | fields)

    def quality(self, **fields: Any) -> list[Any]:
        """KL 0.01 ± 0.002 at 0.5 of the transfers, 0.04 ± 0.02 and 0.2 ± 0.01 at 0.25."""
        layers = tuple(
            LayerFidelity(
                layer=i, recall=(0.5,) * 4, mass=(0.9,) * 4, coverage_error=(0.1,) * 4, output_error=(0.2,) * 4
            )
            for i in range(2)
        )
        numbers = ((NEAR, 0.5, 0.01, 0.002), (FAR, 0.25, 0.04, 0.02), (BARE, 0.25, 0.2, 0.01))
        dense = self.line(None, scores={"kl_nats": 0.0, "perplexity": 8.0}, stderr={"kl_nats": 0.0}, **fields)
        return [dense] + [
            self.line(
                config,
                transfer_ratio=ratio,
                scores={"kl_nats": kl, "perplexity": 8.0 + kl},
                stderr={"kl_nats": error},
                layers=layers,
                **fields,
            )
            for config, ratio, kl, error in numbers
        ]

    def timed(self, config: SparqConfig, speedup: float = 1.5, **fields: Any) -> Any:
        """A whole-model step; 1.75× predicted."""
        scores = {"step_time_s": 0.01, "step_speedup": speedup, "predicted_step_speedup": 1.75}
        return self.line(config, task="decode-speed", scores=scores, **fields)

    def measured(self, config: SparqConfig | None, seconds: float, shape: AttentionShape = HEADS, **fields: Any) -> Any:
        """One attention step by one implementation."""
        told = {"config": config, "shape": shape, "predicted": (seconds, seconds, seconds)}
        return self._lines.measurement((seconds,) * 3, **told | fields)


@pytest.fixture
def grid(lines: Any) -> Grid:
    return Grid(lines)
