"""One task over a grid of settings: examples read once, then decoded with every setting."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparq_perf.fidelity.attention_scores import NAMES, AttentionScores
from sparq_perf.fidelity.decoding import Decoder, Prefilled, forced_log_probabilities, greedy, prefill
from sparq_perf.fidelity.loading import LoadedModel
from sparq_perf.fidelity.tasks import Example, Task
from sparq_perf.fidelity.token_scores import next_token_scores, stack, summarised, with_perplexity
from sparq_perf.llm import LlmError, enable_sparq
from sparq_perf.records.fidelity import LayerFidelity
from sparq_profiles import SparqConfig

# Attention is looked at in one step of so many: it costs about as much as the step.
LOOK_EVERY = 4


@dataclass(frozen=True)
class Outcome:
    """Scores of one setting in one task."""

    scores: dict[str, float]
    stderr: dict[str, float]
    layers: tuple[LayerFidelity, ...] = ()


class Evaluation:
    """A task's examples, read by the model; `of` decodes them with one setting."""

    def __init__(
        self, loaded: LoadedModel, task: Task, examples: list[Example], *, new_tokens: int, batch: int, how: str
    ) -> None:
        self._loaded, self._task, self._how, self._new_tokens = loaded, task, how, new_tokens
        tokenizer = loaded.tokenizer
        pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        self._batches = [examples[i : i + batch] for i in range(0, len(examples), batch)]
        self._reads = [prefill(loaded.model, [e.prompt for e in batch_], pad) for batch_ in self._batches]
        self._dense: list[Tensor] | None = None
        self._dense_answers: Tensor | None = None

    @property
    def first_read(self) -> Prefilled:
        """The first batch, as the model read it."""
        return self._reads[0]

    def of(self, config: SparqConfig | None) -> Outcome:
        """Scores of one setting; None: dense."""
        return self._forced(config) if self._task.metric is None else self._generated(config)

    def _forced(self, config: SparqConfig | None) -> Outcome:
        model, targets = self._loaded.model, [torch.tensor([e.forced for e in batch]) for batch in self._batches]
        targets = [target.to(model.device) for target in targets]
        if self._dense is None:
            reads = zip(self._reads, targets, strict=True)
            self._dense = [forced_log_probabilities(model, read, target) for read, target in reads]
        looking = AttentionScores()
        parts = []
        for read, target, dense in zip(self._reads, targets, self._dense, strict=True):
            logs = dense if config is None else self._looked_at(config, read, target, looking)
            parts.append(next_token_scores(dense, logs, target[:, 1:]))
        means, errors = summarised(stack(parts))
        said = [self._loaded.tokenizer.decode(list(e.forced[1:])) for batch in self._batches for e in batch]
        means = with_perplexity(means, sum(len(t) * (t.shape[1] - 1) for t in targets), sum(map(len, said)))
        if config is None:
            return Outcome(means, errors)
        means |= {name: looking.mean(name) for name in NAMES}
        return Outcome(means, errors, looking.by_layer())

    def _looked_at(self, config: SparqConfig, read: Prefilled, target: Tensor, looking: AttentionScores) -> Tensor:
        with enable_sparq(self._loaded.model, config, implementation=self._how) as handle:
            if not handle.layers:
                raise LlmError(f"{self._loaded.name}: no layer can run SparQ: {dict(handle.left_dense)[0]}")
            handle.session.observer = looking
            decoder = Decoder(self._loaded.model, read)
            steps = []
            for i in range(target.shape[1] - 1):
                looking.active = i % LOOK_EVERY == 0
                steps.append(decoder.step(target[:, i]).float().log_softmax(-1))
        return torch.stack(steps, 1)

    def _generated(self, config: SparqConfig | None) -> Outcome:
        metric = self._task.metric
        assert metric is not None
        if self._dense_answers is None:
            self._dense_answers = self._answer_scores(None)
        if config is None:
            return Outcome(*summarised({metric: self._dense_answers}))
        found = self._answer_scores(config)
        drop = f"{metric}_drop"
        means, errors = summarised({metric: found, drop: self._dense_answers - found})
        if drop in errors and metric == "accuracy":
            # Where no answer, or every one, changed its verdict, the spread is 0, and a drop of 1 in n is still likely.
            errors[drop] = max(errors[drop], 1 / len(found))
        return Outcome(means, errors)

    def _answer_scores(self, config: SparqConfig | None) -> Tensor:
        assert self._task.score is not None
        found = []
        for batch, read in zip(self._batches, self._reads, strict=True):
            for example, answer in zip(batch, self._answers(config, read), strict=True):
                found.append(self._task.score(answer, example.references))
        return torch.tensor(found, dtype=torch.float64)

    def _answers(self, config: SparqConfig | None, read: Prefilled) -> Iterator[str]:
        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        if config is None:
            tokens = greedy(model, read, self._new_tokens)
        else:
            with enable_sparq(model, config, implementation=self._how):
                tokens = greedy(model, read, self._new_tokens)
        ends = _end_ids(model)
        for row in tokens.tolist():
            stop = next((i for i, token in enumerate(row) if token in ends), len(row))
            yield tokenizer.decode(row[:stop], skip_special_tokens=True)


def _end_ids(model: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}
