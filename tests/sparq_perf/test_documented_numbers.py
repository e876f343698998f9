"""Numbers in the documents are those that the code and the committed records give."""

from dataclasses import replace
from pathlib import Path

import pytest

from sparq_kernels import find_implementation
from sparq_perf.comparison import compare
from sparq_perf.fidelity.tolerance import parse_tolerance
from sparq_perf.fidelity.tolerated import measured_settings
from sparq_perf.records.line import SCHEMA_VERSION
from sparq_perf.records.store import read_lines, records_file
from sparq_perf.summary import summarise
from sparq_profiles import AttentionShape, SparqConfig, load_hardware, load_model
from sparq_roofline.deployment.candidates import Demand
from sparq_roofline.deployment.measured_settings import MeasuredSettings
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.rows import Row
from sparq_roofline.deployment.sizing import size
from sparq_roofline.prediction import Ceilings, TimePrediction, predict_time

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "reports" / "measured" / "intel-xeon-2t"


def table(text: str, begins: str) -> list[list[str]]:
    """Rows of the Markdown table whose head begins so."""
    lines = iter(text.splitlines())
    assert any(line.startswith(begins) for line in lines), begins
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.mark.parametrize(("device", "column"), [("h100-sxm-80gb", 4), ("h200-sxm-141gb", 7)])
def test_what_a_gpu_is_expected_to_show(device: str, column: int) -> None:
    ceilings = Ceilings.of(load_hardware(device), "float16")

    def told(prediction: TimePrediction) -> str:
        time = prediction.time_s
        return f"{time.expected * 1e6:.0f} [{time.lower * 1e6:.0f}, {time.upper * 1e6:.0f}]"

    rows = table((ROOT / "docs" / "gpu.md").read_text(encoding="utf-8"), "| shape | batch |")
    assert len(rows) == 7
    for row in rows:
        n_kv_heads = {"GQA 32/8": 8, "MHA 32": 32}[row[0]]
        rank, top_k = (int(part) for part in row[3].split("/"))
        shape = AttentionShape(int(row[1]), int(row[2].replace(",", "")), 32, n_kv_heads, 128, "float16")
        config = SparqConfig(rank, top_k, mean_value=n_kv_heads == 32)
        dense = predict_time(find_implementation("dense-triton").traffic(shape, None), ceilings)
        sparq = predict_time(find_implementation("sparq-triton").traffic(shape, config), ceilings)
        speedup = f"{dense.time_s.expected / sparq.time_s.expected:.1f}"
        assert row[column : column + 3] == [told(dense), told(sparq), speedup]


def test_the_version_of_the_records() -> None:
    assert f"`schema_version` (now {SCHEMA_VERSION})" in (ROOT / "docs" / "records.md").read_text(encoding="utf-8")


def test_what_measured_fidelity_lets_sizing_take() -> None:
    """The example of docs/sizing.md, and what the same r and k would be by the other group rule."""
    model = load_model("smollm2-135m")
    records = ROOT / "reports" / "measured" / "smollm2-135m-fidelity"
    measured = measured_settings(records_file(records), parse_tolerance("kl=0.05"), model, 1024)

    def sized(settings: MeasuredSettings) -> Row:
        question = Question(model, [load_hardware("l4-24gb")], Demand(1024, 24), settings=settings)
        return next(row for row in size(question).rows if row.k_layout == "two_copies")

    taken = sized(measured)
    assert taken.setting is not None
    config = taken.setting.config("two_copies")
    assert config == SparqConfig(16, 128, 32, mean_value=False)
    other = replace(config, group_score="softmax")
    (softmax,) = [one for one in measured.within if replace(one.config, k_layout="two_copies") == other]
    told = [(taken.setting.loss, taken.step_speedup)]
    told.append((softmax.loss, sized(replace(measured, within=(softmax,))).step_speedup))
    found = [f"{loss.value:.3f}, {speedup.expected:.2f}" for loss, speedup in told if loss and speedup]
    assert found == ["0.040, 2.98", "0.028, 2.38"]
    text = " ".join((ROOT / "docs" / "sizing.md").read_text(encoding="utf-8").split())
    assert "by the sum of logits (KL 0.040): a step 2.98 times as fast as dense with `two_copies`" in text
    assert "By the sum of softmaxes (KL 0.028) it would be 2.38." in text


def test_what_the_readme_says_was_found() -> None:
    """Its headline and its table come from one committed run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = read_lines(records_file(MEASURED))
    ceilings, measured, best, prediction, _ = summarise(lines, "")
    for line in (ceilings, measured, best.replace(" r=16 k=64, cold", " …"), prediction):
        assert f"    {line}\n" in readme
    found = {
        (c.sparq.shape.seq_len, c.sparq.config.rank): c.speedup.expected
        for c in compare(lines)
        if c.sparq.config is not None
        and (c.sparq.model, c.sparq.shape.batch, c.sparq.cache_state, c.sparq.implementation)
        == ("llama-2-7b", 1, "cold", "sparq-cpu")
    }
    rows = table(readme, "| Llama-2 7B heads, B = 1 |")[:3]
    assert [row[0] for row in rows] == ["4,096 tokens", "16,384 tokens", "65,536 tokens"]
    for row in rows:
        seq_len = int(row[0].split()[0].replace(",", ""))
        assert row[1:] == [f"{found[seq_len, rank]:.1f}×" for rank in (16, 32, 64)]
