"""Fidelity records as Markdown tables, one for each task and size, in order of bytes moved."""

from collections.abc import Iterable

from sparq_perf.markdown import table
from sparq_perf.records.fidelity import Fidelity

# Titles and formats of the scores that are shown, in this order.
SHOWN = {
    "kl_nats": ("KL, nats", "{:.4f}"),
    "agreement": ("agreement", "{:.3f}"),
    "perplexity": ("perplexity", "{:.2f}"),
    "nll_increase_nats": ("NLL over dense, nats", "{:+.4f}"),
    "bits_per_character": ("bits/char", "{:.3f}"),
    "recall": ("top-k recall", "{:.3f}"),
    "mass": ("mass", "{:.3f}"),
    "coverage_error": ("coverage error", "{:.3f}"),
    "output_error": ("output error", "{:.3f}"),
    "matched_characters": ("characters repeated", "{:.1f}"),
    "matched_characters_drop": ("fewer than dense", "{:+.1f}"),
    "accuracy": ("accuracy", "{:.3f}"),
    "accuracy_drop": ("accuracy below dense", "{:+.3f}"),
    "rouge_l": ("ROUGE-L", "{:.3f}"),
    "rouge_l_drop": ("ROUGE-L below dense", "{:+.3f}"),
    "step_time_s": ("step, s", "{:.4f}"),
    "tokens_per_s": ("tokens/s", "{:.1f}"),
    "step_speedup": ("step speedup", "{:.2f}×"),
    "predicted_step_speedup": ("predicted", "{:.2f}×"),
}
SETTING = ("transfers", "r", "k", "l", "mean value", "group rule")


def markdown(lines: Iterable[Fidelity]) -> str:
    """Every task's table; the newest line of each key."""
    newest = {line.key: line for line in lines}
    groups: dict[tuple[str, int, int], list[Fidelity]] = {}
    for line in newest.values():
        groups.setdefault((line.task, line.context, line.shape.batch), []).append(line)
    return "\n".join(_table(*key, group) for key, group in groups.items())


def _table(task: str, context: int, batch: int, lines: list[Fidelity]) -> str:
    # Most bytes first; settings of the same bytes keep the order they were run in.
    ordered = sorted(lines, key=lambda line: -(line.transfer_ratio or 2.0))
    first = ordered[0]
    names = [name for name in SHOWN if any(name in line.scores for line in ordered)]
    head = [*SETTING, *(SHOWN[name][0] for name in names)]
    rows = [[*_setting(line), *(_score(line, name) for name in names)] for line in ordered]
    told = f"{first.model}, {first.n_examples} examples, batch {batch}, {first.new_tokens} decode steps each"
    title = f"### {task}, context {context:,}\n\n{told}.\n"
    return f"{title}\n{table(head, rows)}\n"


def _setting(line: Fidelity) -> list[str]:
    config = line.config
    if config is None:
        return [f"1 (dense, {line.implementation})", *[""] * 5]
    assert line.transfer_ratio
    mean = "yes" if config.mean_value else "no"
    share = f"1/{1 / line.transfer_ratio:.1f}"
    return [share, str(config.rank), str(config.top_k), str(config.local_window), mean, config.group_score]


def _score(line: Fidelity, name: str) -> str:
    if name not in line.scores:
        return ""
    form = SHOWN[name][1]
    error = f" ± {form.replace('+', '').format(line.stderr[name])}" if line.stderr.get(name) else ""
    return form.format(line.scores[name]) + error
