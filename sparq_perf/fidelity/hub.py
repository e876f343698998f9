"""Data sets from the hub, written to files in their published formats, which every other step then reads."""

import importlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sparq_perf.fidelity.datasets import DatasetError

Rows = Iterable[Any]

# Rows of a split that are kept: far more than a run on one machine gets through.
MOST_ROWS = 2000


def fetch(task: str, folder: Path) -> Path:
    """The task's data set as a file in ``folder``; what is there already is not fetched again.

    Raises:
        DatasetError: the package ``datasets`` is missing, or the hub does not give the data set.
    """
    source, name, split, file, write = SOURCES[task]
    path = folder / file
    if path.is_file():
        return path
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise DatasetError(
            f"--data {task}=hub needs the package datasets: pip install datasets, or give a file"
        ) from None
    try:
        rows = datasets.load_dataset(source, name, split=split)
    except Exception as error:  # of many libraries: network, cache, format
        raise DatasetError(f"{source}: cannot be had from the hub: {str(error).splitlines()[0]}") from None
    folder.mkdir(parents=True, exist_ok=True)
    kept = (row for _, row in zip(range(MOST_ROWS), rows, strict=False))
    whole = path.with_name(path.name + ".part")  # a fetch that is cut off leaves no file that looks whole
    whole.write_text(write(kept, folder), encoding="utf-8")
    whole.rename(path)
    return path


def _text(rows: Rows, folder: Path) -> str:
    return "".join(row["text"] for row in rows)


def _squad(rows: Rows, folder: Path) -> str:
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {"id": row["id"], "question": row["question"], "answers": [{"text": t} for t in row["answers"]["text"]]}
            ],
        }
        for row in rows
    ]
    return json.dumps({"version": "1.1", "data": [{"title": "", "paragraphs": paragraphs}]})


def _triviaqa(rows: Rows, folder: Path) -> str:
    items = []
    for number, row in enumerate(rows):
        contexts = row["entity_pages"]["wiki_context"]
        if not contexts:
            continue
        evidence = folder / "evidence" / "wikipedia" / f"{number}.txt"
        evidence.parent.mkdir(parents=True, exist_ok=True)
        evidence.write_text(contexts[0], encoding="utf-8")
        answer = {"Value": row["answer"]["value"], "Aliases": list(row["answer"]["aliases"])}
        items.append({"Question": row["question"], "Answer": answer, "EntityPages": [{"Filename": evidence.name}]})
    return json.dumps({"Data": items})


def _news(rows: Rows, folder: Path) -> str:
    return "".join(json.dumps({"article": row["article"], "highlights": row["highlights"]}) + "\n" for row in rows)


_WIKITEXT = ("Salesforce/wikitext", "wikitext-103-raw-v1", "test", "wikitext.txt", _text)
# Name on the hub, configuration, split, file, and how its rows are written.
SOURCES: dict[str, tuple[str, str | None, str, str, Callable[[Rows, Path], str]]] = {
    "wikitext": _WIKITEXT,
    "repetition": _WIKITEXT,
    "squad": ("rajpurkar/squad", None, "validation", "squad.json", _squad),
    "triviaqa": ("mandarjoshi/trivia_qa", "rc.wikipedia", "validation", "triviaqa.json", _triviaqa),
    "cnn_dailymail": ("abisee/cnn_dailymail", "3.0.0", "test", "cnn_dailymail.jsonl", _news),
}
