"""Attention maps of a plan's first example, to the record file: what is there already is not decoded again."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import torch

from sparq_perf.fidelity.attention_map import AttentionMaps, Head, kept_steps
from sparq_perf.fidelity.decoding import Decoder, Prefilled, greedy
from sparq_perf.fidelity.evaluating import Evaluation
from sparq_perf.fidelity.loading import LoadedModel, digest
from sparq_perf.fidelity.run import Blank, Plan, Watcher, described
from sparq_perf.fidelity.tasks import Example, Task, make_examples
from sparq_perf.llm import enable_sparq
from sparq_perf.llm.layers import attention_layers
from sparq_perf.records.attention_map import AttentionMap, MapStep
from sparq_perf.records.store import RecordWriter, read_lines
from sparq_profiles import ConfigError, SparqConfig

# The example that is drawn, of the first task.
EXAMPLE = 0


def check_heads(loaded: LoadedModel, heads: Sequence[Head]) -> None:
    """ConfigError where a head does not exist, is named twice, or its layer stays dense."""
    layers = {layer.index: layer for layer in attention_layers(loaded.model)}
    n_heads = loaded.model.config.get_text_config().num_attention_heads
    for head in heads:
        if head.layer not in layers or head.head >= n_heads:
            raise ConfigError(
                f"--map is {head}: {loaded.name} has layers {min(layers)} to {max(layers)} and heads 0 to {n_heads - 1}"
            )
        layer = layers[head.layer]
        if layer.local or layer.unsupported:
            why = layer.unsupported or f"has {layer.local}"
            raise ConfigError(f"--map is {head}: the layer stays dense: it {why}")
    if len(set(heads)) < len(heads):
        raise ConfigError("--map: a head is named twice: name each once")


def run_maps(loaded: LoadedModel, plan: Plan, heads: Sequence[Head], watcher: Watcher) -> list[AttentionMap]:
    """A line for each setting and head, of the first task's first example, decoded in its batch.

    Raises:
        SparqPerfError: data, model, heads or records that cannot be used.
    """
    check_heads(loaded, heads)
    held = plan.out.exists() and plan.out.stat().st_size > 0
    known = {line.key: line for line in (read_lines(plan.out) if held else []) if isinstance(line, AttentionMap)}
    task, files = plan.tasks[0]
    blank = Blank(loaded, plan, task.name, files)
    lines = []
    bench: _Bench | None = None
    with RecordWriter(plan.out) as writer:
        for config in plan.configs:
            keys = {head: blank.key(config, "attention_map", str(head)) for head in heads}
            wanted = [head for head in heads if keys[head] not in known]
            if wanted:
                watcher.stage(f"maps: {described(config)}")
                bench = bench or _Bench.of(loaded, plan, task)
                found = bench.maps(config, wanted)
            for head in heads:
                if head in wanted:
                    assert bench is not None
                    line = bench.line(keys[head], config, head, found[head])
                    writer.append(line)
                    known[line.key] = line
                lines.append(known[keys[head]])
    return lines


class _Bench:
    """The first batch, as the model read it."""

    def __init__(self, blank: Blank, task: Task, examples: list[Example], read: Prefilled) -> None:
        self._blank, self._task, self._examples, self._read = blank, task, examples, read
        # A generated token is decoded only where another follows it.
        self._n_steps = blank.plan.new_tokens - (task.metric is not None)
        if self._n_steps < 1:
            raise ConfigError(f"--map: {task.name} decodes nothing with --new-tokens 1: give 2 or more")

    @classmethod
    def of(cls, loaded: LoadedModel, plan: Plan, task: Task) -> "_Bench":
        """Read the first batch of a task."""
        files = plan.tasks[0][1]
        examples = make_examples(
            task,
            list(files),
            loaded.tokenizer,
            context=plan.context,
            new_tokens=plan.new_tokens,
            n_examples=plan.n_examples,
            seed=plan.seed,
        )[: plan.batch]
        evaluation = Evaluation(
            loaded, task, examples, new_tokens=plan.new_tokens, batch=plan.batch, how=plan.implementation
        )
        longest = max(len(example.prompt) for example in examples)
        blank = replace(Blank(loaded, plan, task.name, files), n_examples=len(examples), longest=longest)
        return cls(blank, task, examples, evaluation.first_read)

    def maps(self, config: SparqConfig, heads: Sequence[Head]) -> dict[Head, list[MapStep]]:
        """The maps of one setting."""
        model, plan = self._blank.loaded.model, self._blank.plan
        positions = len(self._examples[EXAMPLE].prompt) + self._n_steps
        looking = AttentionMaps(heads, kept_steps(self._n_steps, positions))
        with enable_sparq(model, config, implementation=plan.implementation) as handle:
            handle.session.observer = looking
            if self._task.metric is not None:
                greedy(model, self._read, plan.new_tokens)
            else:
                self._feed(model)
        return looking.found

    def line(self, key: str, config: SparqConfig, head: Head, steps: list[MapStep]) -> AttentionMap:
        """One line."""
        plan, shape = self._blank.plan, self._blank.shape
        return AttentionMap(
            run_id=uuid.uuid4().hex[:12],
            time=datetime.now(UTC),
            key=key,
            model=self._blank.loaded.name,
            shape=shape,
            config=config,
            task=self._task.name,
            dataset=", ".join(path.name for path in self._blank.files),
            dataset_sha256=digest(list(self._blank.files)),
            context=plan.context,
            seed=plan.seed,
            example=EXAMPLE,
            padding=self._blank.longest - len(self._examples[EXAMPLE].prompt),
            layer=head.layer,
            head=head.head,
            kv_head=head.head // shape.group_size,
            n_steps=self._n_steps,
            steps=tuple(steps),
        )

    def _feed(self, model: Any) -> None:
        tokens = torch.tensor([example.forced for example in self._examples]).to(model.device)
        decoder = Decoder(model, self._read)
        for step in range(self._n_steps):
            decoder.step(tokens[:, step])
