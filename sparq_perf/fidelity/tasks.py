"""The tasks: what a model is given, what it is to answer, and the score of an answer."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparq_perf.fidelity.datasets import (
    OWN,
    DatasetError,
    Passage,
    read_cnn_dailymail,
    read_squad,
    read_text,
    read_triviaqa,
)
from sparq_perf.fidelity.scoring import answered, matched_characters, rouge_l

# Tokens of the passage that is to be repeated, given as its beginning.
REPEATED_START = 24


@dataclass(frozen=True)
class Example:
    """One prompt and what belongs after it.

    Attributes:
        prompt: token ids.
        forced: token ids that follow, for tasks that do not generate.
    """

    prompt: list[int]
    references: tuple[str, ...] = ()
    forced: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        files: the project's own data, where no file is given.
        metric: name of the score; None: the tokens are forced and compared, nothing is generated.
        score: answer and references → score.
    """

    name: str
    files: tuple[Path, ...]
    metric: str | None
    score: Callable[[str, tuple[str, ...]], float] | None = None
    read: Callable[[Path], list[Passage]] | None = None
    ask: tuple[str, str] = ("", "")


def _first(score: Callable[[str, str], float]) -> Callable[[str, tuple[str, ...]], float]:
    return lambda answer, references: score(answer, references[0])


_ASK = ("Read the text and answer the question in a few words.\n\nText: ", "\n\nQuestion: {question}\nAnswer:")
_SUM_UP = ("Article: ", "\n\nSummary of the article in two sentences:")
_BEST_ROUGE: Callable[[str, tuple[str, ...]], float] = _first(rouge_l)

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("wikitext", (OWN / "wikitext.txt",), None),
        Task("repetition", (OWN / "wikitext.txt",), "matched_characters", _first(matched_characters)),
        Task("squad", (OWN / "squad.json",), "accuracy", answered, read_squad, _ASK),
        Task("triviaqa", (OWN / "triviaqa.json",), "accuracy", answered, read_triviaqa, _ASK),
        Task("cnn_dailymail", (OWN / "cnn_dailymail.jsonl",), "rouge_l", _BEST_ROUGE, read_cnn_dailymail, _SUM_UP),
    )
}


def find_task(name: str) -> Task:
    """A task by its name; DatasetError where there is none."""
    if name not in TASKS:
        raise DatasetError(f"unknown task {name!r}: known: {', '.join(TASKS)}")
    return TASKS[name]


def make_examples(
    task: Task, files: list[Path], tokenizer: Any, *, context: int, new_tokens: int, n_examples: int, seed: int
) -> list[Example]:
    """The task's examples: the same for the same files, tokenizer, sizes and seed.

    Raises:
        DatasetError: files that cannot be read, or too short for the context.
    """
    if task.read is None:
        ids = tokenizer(read_text(files), add_special_tokens=False)["input_ids"]
        make = _continuations if task.metric is None else _repetitions
        return make(ids, tokenizer, files, context, new_tokens, n_examples, seed)
    passages = [passage for path in files for passage in task.read(path)]
    random.Random(seed).shuffle(passages)
    return [_question(task, passage, tokenizer, context) for passage in passages[:n_examples]]


def _continuations(
    ids: list[int], tokenizer: Any, files: list[Path], context: int, new_tokens: int, n_examples: int, seed: int
) -> list[Example]:
    """Windows of the text, as far apart as it allows."""
    # One more than is fed: the last step predicts it.
    length = context + new_tokens + 1
    starts = _starts(len(ids) - length, n_examples, seed, files, length)
    return [Example(ids[at : at + context], forced=tuple(ids[at + context : at + length])) for at in starts]


def _repetitions(
    ids: list[int], tokenizer: Any, files: list[Path], context: int, new_tokens: int, n_examples: int, seed: int
) -> list[Example]:
    """A window of the text, then the beginning of a passage in it, which the model is to continue as before."""
    body = context - REPEATED_START
    if body < REPEATED_START + new_tokens:
        raise DatasetError(f"repetition needs a context of at least {2 * REPEATED_START + new_tokens} tokens")
    chance = random.Random(seed)
    examples = []
    for at in _starts(len(ids) - body, n_examples, seed, files, body):
        window = ids[at : at + body]
        first = chance.randrange(body - REPEATED_START - new_tokens + 1)
        start = window[first : first + REPEATED_START]
        rest = window[first + REPEATED_START : first + REPEATED_START + new_tokens]
        examples.append(Example(window + start, (tokenizer.decode(rest),)))
    return examples


def _starts(slack: int, n_examples: int, seed: int, files: list[Path], length: int) -> list[int]:
    if slack < 0:
        raise DatasetError(f"{files[0]}: holds fewer than {length} tokens: give more text, or a smaller --context")
    stride = slack // max(n_examples - 1, 1)
    shift = random.Random(seed).randrange(slack - stride * (n_examples - 1) + 1) if n_examples > 1 else 0
    return [shift + stride * i for i in range(n_examples)]


def _question(task: Task, passage: Passage, tokenizer: Any, context: int) -> Example:
    before, after = task.ask
    after = after.format(question=passage.question)
    head = tokenizer(before, add_special_tokens=True)["input_ids"]
    tail = tokenizer(after, add_special_tokens=False)["input_ids"]
    body = tokenizer(passage.text.strip(), add_special_tokens=False)["input_ids"]
    room = context - len(head) - len(tail)
    if room < 1:
        raise DatasetError(f"{task.name}: a question of {len(tail)} tokens leaves no room in --context {context}")
    return Example(head + body[:room] + tail, passage.references)
