"""A grid of settings over tasks, to records: what is on disk already is not done again."""

import hashlib
import importlib.metadata
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from sparq_perf.fidelity.evaluating import Evaluation, Outcome
from sparq_perf.fidelity.loading import LoadedModel, digest
from sparq_perf.fidelity.speed import predicted_step_speedup, time_steps
from sparq_perf.fidelity.tasks import Task, make_examples
from sparq_perf.llm.layers import attention_layers
from sparq_perf.measure.environment import cpu_name
from sparq_perf.records.fidelity import Fidelity
from sparq_perf.records.store import RecordWriter, mend_torn_line, read_lines
from sparq_profiles import AttentionShape, SparqConfig
from sparq_roofline.deployment.attention import AttentionStep
from sparq_roofline.paper import transfer_ratio

SPEED = "decode-speed"
VERSIONED = ("torch", "transformers", "numba")


class Watcher(Protocol):
    """Told how far a run is."""

    def start(self, total_s: float) -> None:
        """The run will take about this long."""

    def stage(self, text: str) -> None:
        """What is being done now."""

    def advance(self, seconds: float) -> None:
        """So much of the total is done."""


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        tasks: each with its files.
        context: tokens prefilled, at most; new_tokens: decode steps of each example.
        batch: examples decoded together.
        with_speed: also time whole-model decode steps, on the first task's first batch.
    """

    tasks: tuple[tuple[Task, tuple[Path, ...]], ...]
    configs: tuple[SparqConfig, ...]
    context: int
    new_tokens: int
    n_examples: int
    batch: int
    seed: int
    out: Path
    implementation: str = "auto"
    with_speed: bool = True


def run_fidelity(
    loaded: LoadedModel, plan: Plan, watcher: Watcher, *, clock: Callable[[], float] = time.monotonic
) -> list[Fidelity]:
    """Run what the record file lacks, a line at a time; every line of the plan, old and new.

    Raises:
        SparqPerfError: data, model or records that cannot be used.
    """
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    if plan.out.exists() and plan.out.stat().st_size:
        mend_torn_line(plan.out)
    held = plan.out.exists() and plan.out.stat().st_size > 0
    known = {line.key: line for line in (read_lines(plan.out) if held else []) if isinstance(line, Fidelity)}
    lines: list[Fidelity] = []
    each_s: float | None = None
    jobs = (len(plan.tasks) + plan.with_speed) * (len(plan.configs) + 1)
    with RecordWriter(plan.out) as writer:
        for position, (task, files) in enumerate(plan.tasks):
            for line, new, seconds in _lines_of(loaded, plan, task, files, known, position == 0, watcher, clock):
                if new:
                    writer.append(line)
                    # The first line's time stands for each of the others, so that the bar ends where the run does.
                    if each_s is None:
                        each_s = seconds
                        watcher.start(each_s * jobs)
                    watcher.advance(each_s)
                lines.append(line)
    return lines


def _lines_of(
    loaded: LoadedModel,
    plan: Plan,
    task: Task,
    files: tuple[Path, ...],
    known: dict[str, Fidelity],
    first: bool,
    watcher: Watcher,
    clock: Callable[[], float],
) -> Iterator[tuple[Fidelity, bool, float]]:
    """The task's lines in order, whether each is new, and the seconds that it took."""
    blank = Blank(loaded, plan, task.name, files)
    wanted = (None, *plan.configs)
    speed = replace(blank, task=SPEED) if first and plan.with_speed else None
    missing = [config for config in wanted if blank.key(config) not in known]
    slow = speed is not None and any(speed.key(config) not in known for config in wanted)
    evaluation = None
    if missing or slow:
        watcher.stage(f"{task.name}: reading")
        examples = make_examples(
            task,
            list(files),
            loaded.tokenizer,
            context=plan.context,
            new_tokens=plan.new_tokens,
            n_examples=plan.n_examples,
            seed=plan.seed,
        )
        blank = replace(blank, n_examples=len(examples), longest=max(len(e.prompt) for e in examples))
        how = plan.implementation
        evaluation = Evaluation(loaded, task, examples, new_tokens=plan.new_tokens, batch=plan.batch, how=how)
    for config in wanted:
        start = clock()
        key = blank.key(config)
        if key in known:
            yield known[key], False, 0.0
            continue
        watcher.stage(f"{task.name}: {described(config)}")
        assert evaluation is not None
        outcome = evaluation.of(config)
        yield blank.filled(config, outcome), True, clock() - start
    if speed is not None:
        if not slow:
            yield from ((known[speed.key(config)], False, 0.0) for config in wanted)
            return
        assert evaluation is not None
        start = clock()
        watcher.stage(SPEED)
        done = replace(speed, n_examples=len(evaluation.first_read.mask), longest=blank.longest)
        for line in _speeds(loaded, plan, done, evaluation):
            yield line, line.key not in known, clock() - start
            start = clock()


def _speeds(loaded: LoadedModel, plan: Plan, blank: "Blank", evaluation: Evaluation) -> Iterator[Fidelity]:
    times = time_steps(loaded.model, evaluation.first_read, plan.configs)
    batch, length = evaluation.first_read.mask.shape
    dense = {"step_time_s": times.dense_s, "tokens_per_s": batch / times.dense_s}
    yield blank.filled(None, Outcome(dense, {}), implementation=times.dense_by)
    for config in plan.configs:
        step_s, shape = times.sparq_s[config], blank.shape
        heads = AttentionStep(
            batch, length, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.element_bytes, config
        )
        scores = {
            "step_time_s": step_s,
            "tokens_per_s": batch / step_s,
            "step_speedup": times.dense_s / step_s,
            "predicted_step_speedup": predicted_step_speedup(loaded.model, heads, blank.n_layers),
        }
        yield blank.filled(config, Outcome(scores, {}))


@dataclass(frozen=True)
class Blank:
    """What the lines of one task share.

    Attributes:
        longest: tokens of the longest prompt; 0 before the examples are read.
    """

    loaded: LoadedModel
    plan: Plan
    task: str
    files: tuple[Path, ...]
    n_examples: int = 0
    longest: int = 0

    @property
    def n_layers(self) -> int:
        """Attention layers of the model."""
        return len(attention_layers(self.loaded.model))

    @property
    def shape(self) -> AttentionShape:
        """Of the last step."""
        config = self.loaded.model.config.get_text_config()
        heads = config.num_attention_heads
        head_dim = attention_layers(self.loaded.model)[0].head_dim or config.hidden_size // heads
        return AttentionShape(
            self.plan.batch if not self.n_examples else min(self.plan.batch, self.n_examples),
            (self.longest or self.plan.context) + self.plan.new_tokens,
            heads,
            getattr(config, "num_key_value_heads", None) or heads,
            head_dim,
            str(self.loaded.model.dtype).removeprefix("torch."),  # type: ignore[arg-type]
        )

    def key(self, config: SparqConfig | None, *more: str) -> str:
        """Digest of everything that the scores depend on, and of what else tells a line from others."""
        plan = self.plan
        told: list[Any] = [
            self.loaded.name,
            str(self.loaded.model.dtype),
            self.task,
            digest(list(self.files)),
            [plan.context, plan.new_tokens, plan.n_examples, plan.batch, plan.seed, plan.implementation],
            None if config is None else asdict(config),
            *more,
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]

    def filled(self, config: SparqConfig | None, outcome: Outcome, implementation: str | None = None) -> Fidelity:
        """One line."""
        shape, model = self.shape, self.loaded.model
        ratio = None
        if config is not None:
            k = min(config.top_k, shape.seq_len)
            ratio = transfer_ratio(shape.seq_len, shape.head_dim, config.rank, k)
        if implementation is None:
            implementation = str(model.config._attn_implementation) if config is None else self._sparse()
        return Fidelity(
            run_id=uuid.uuid4().hex[:12],
            time=datetime.now(UTC),
            key=self.key(config),
            model=self.loaded.name,
            device=cpu_name() if model.device.type == "cpu" else model.device.type,
            versions={name: importlib.metadata.version(name) for name in VERSIONED},
            shape=shape,
            n_layers=self.n_layers,
            config=config,
            implementation=implementation,
            task=self.task,
            dataset=", ".join(path.name for path in self.files),
            dataset_sha256=digest(list(self.files)),
            context=self.plan.context,
            new_tokens=self.plan.new_tokens,
            n_examples=self.n_examples,
            seed=self.plan.seed,
            transfer_ratio=ratio,
            scores=outcome.scores,
            stderr=outcome.stderr,
            layers=outcome.layers,
        )

    def _sparse(self) -> str:
        from sparq_kernels.registry import IMPLEMENTATIONS

        if self.plan.implementation != "auto":
            return self.plan.implementation
        dtype, device = str(self.loaded.model.dtype).removeprefix("torch."), self.loaded.model.device.type
        return next(i.name for i in IMPLEMENTATIONS.values() if i.sparse and i.refusal(dtype, device) is None)


def described(config: SparqConfig | None) -> str:
    """A setting in a few characters."""
    if config is None:
        return "dense"
    mean = "mean" if config.mean_value else "no mean"
    return f"r={config.rank} k={config.top_k} l={config.local_window} {mean} {config.group_score}"
