"""From fidelity records to the settings that a sizing may take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.fidelity.tolerance import parse_tolerance
from sparq_perf.fidelity.tolerated import measured_settings
from sparq_perf.records.store import RecordError, RecordWriter
from sparq_profiles import AttentionShape, ConfigError, SparqConfig, load_model
from sparq_roofline.deployment.measured_settings import MeasuredLoss, MeasuredSettings

SMOLLM2 = load_model("smollm2-135m")
SHAPE = AttentionShape(1, 1048, 9, 3, 64, "float32")
HIGH, LOW, MEAN = (SparqConfig(32, 256, mean_value=False), SparqConfig(8, 64, mean_value=False), SparqConfig(8, 64))
Ask = Callable[..., MeasuredSettings]


@pytest.fixture
def ask(lines: Any, tmp_path: Path) -> Ask:
    """Settings within a tolerance, of records by (config, scores, stderr, further fields)."""

    def asked(tolerance: str, *records: tuple[Any, ...], context: int = 1024, model: Any = SMOLLM2) -> MeasuredSettings:
        path = tmp_path / "fidelity.jsonl"
        path.unlink(missing_ok=True)
        with RecordWriter(path) as writer:
            for index, (config, scores, stderr, more) in enumerate(records):
                fields = {"model": "SmolLM2", "shape": SHAPE, "n_layers": 30, "context": 1024, "n_examples": 6, **more}
                fields |= {"layers": (), "transfer_ratio": None if config is None else config.rank / 64}
                writer.append(lines.fidelity(key=str(index), config=config, scores=scores, stderr=stderr, **fields))
        return measured_settings(path, parse_tolerance(tolerance), model, context)

    return asked


def kl(config: SparqConfig, value: float, error: float | None = 0.01, **more: Any) -> tuple[Any, ...]:
    return config, {"kl_nats": value}, {} if error is None else {"kl_nats": error}, more


def configs(found: MeasuredSettings) -> list[SparqConfig]:
    return [setting.config for setting in found.within]


def test_within_with_the_standard_error(ask: Ask) -> None:
    found = ask("kl=0.05", kl(HIGH, 0.01), kl(LOW, 0.045), kl(MEAN, 0.2))
    assert configs(found) == [HIGH]  # 0.045 + 0.01 is beyond
    assert found.within[0].loss == MeasuredLoss("kl", 0.01, 0.01, "wikitext", 6, 1024, "SmolLM2")
    assert (found.n_measured, found.tolerance, found.reason, found.notes) == (3, "kl=0.05", None, ())


def test_few_bytes_first_and_of_these_the_least_loss(ask: Ask) -> None:
    assert configs(ask("kl=1", kl(HIGH, 0.01), kl(MEAN, 0.3), kl(LOW, 0.2))) == [LOW, MEAN, HIGH]


def test_undecided_ones_are_taken_and_told(ask: Ask) -> None:
    found = ask("kl=0.05", kl(HIGH, 0.045), kl(LOW, 0.3))
    assert configs(found) == [HIGH]
    assert found.notes == (
        "the mean loss of 1 setting is within kl=0.05, and their standard errors reach beyond it: measure more than "
        "6 examples",
    )
    single = ask("kl=0.05", kl(HIGH, 0.01, None, n_examples=1))
    assert single.notes[0].endswith("and no standard error is known: measure more than 1 example")
    assert single.within[0].loss.stderr is None


def test_none_within(ask: Ask) -> None:
    found = ask("kl=0.001", kl(HIGH, 0.01, 0.002), kl(LOW, 0.2))
    assert found.within == ()
    assert found.reason == (
        "none of 2 measured settings is within kl=0.001: the nearest, r=32 k=256 l=0, mean of V off, sum of logits, "
        "has KL 0.01 ± 0.002 nats, measured on SmolLM2: wikitext, 6 examples, 1,024 tokens of context"
    )


def test_other_scores(ask: Ask) -> None:
    dense = (None, {"perplexity": 40.0, "accuracy": 0.5, "nll_nats": 3.7}, {"nll_nats": 0.0, "accuracy": 0.03}, {})
    one = (
        LOW,
        {"agreement": 0.96, "perplexity": 41.0, "accuracy": 0.45, "nll_nats": 3.72},
        {"agreement": 0.01, "nll_nats": 0.004, "accuracy": 0.04},
        {},
    )
    (agreement,) = ask("agreement=0.95", dense, one).within
    assert (agreement.loss.value, agreement.loss.stderr) == (pytest.approx(0.96), 0.01)
    (perplexity,) = ask("perplexity=1.05", dense, one).within
    assert perplexity.loss.value == pytest.approx(1.025)
    assert perplexity.loss.stderr == pytest.approx(1.025 * 0.004)
    (accuracy,) = ask("accuracy=0.2", dense, one).within
    assert (accuracy.loss.value, accuracy.loss.stderr) == (pytest.approx(0.05), pytest.approx(0.05))
    assert ask("agreement=0.99", dense, one).reason is not None


def test_the_bench_with_most_examples_then_the_nearest_context(ask: Ask) -> None:
    few = kl(LOW, 0.01, context=4096, n_examples=1)
    near, far = kl(HIGH, 0.01, context=2048), kl(MEAN, 0.01, context=512)
    assert configs(ask("kl=0.05", few, far, near, context=4096)) == [HIGH]
    assert configs(ask("kl=0.05", few, near, far, context=700)) == [MEAN]


def test_another_model(ask: Ask) -> None:
    with pytest.raises(ConfigError) as caught:
        ask("kl=0.05", kl(HIGH, 0.01), kl(LOW, 0.01, n_layers=12), model=load_model("llama-3-8b"))
    told = str(caught.value)
    assert "SmolLM2 (n_layers 30, n_heads 9, n_kv_heads 3, head_dim 64) and SmolLM2 (n_layers 12," in told
    assert "llama-3-8b is sized (n_layers 32, n_heads 32, n_kv_heads 8, head_dim 128)" in told
    # Lines of another geometry in the same file are left out.
    assert configs(ask("kl=0.05", kl(HIGH, 0.01), kl(LOW, 0.01, n_layers=12))) == [HIGH]
    with pytest.raises(ConfigError, match="holds A and SmolLM2 of one geometry"):
        ask("kl=0.05", kl(LOW, 0.01, model="A"), kl(HIGH, 0.01))


def test_records_that_say_nothing(ask: Ask, lines: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"accuracy=0.1: .* holds no accuracy of SmolLM2 against dense"):
        ask("accuracy=0.1", kl(HIGH, 0.01))
    with pytest.raises(ConfigError, match="holds dense scores alone"):
        ask("kl=0.05", (None, {"kl_nats": 0.0}, {}, {}))
    path = tmp_path / "run.jsonl"
    with RecordWriter(path) as writer:
        writer.append(lines.run())
    with pytest.raises(ConfigError, match="holds no fidelity: measure it with 'sparq-perf fidelity --out"):
        measured_settings(path, parse_tolerance("kl=0.05"), SMOLLM2, 1024)
    with pytest.raises(RecordError, match="no such file"):
        measured_settings(tmp_path / "none.jsonl", parse_tolerance("kl=0.05"), SMOLLM2, 1024)
