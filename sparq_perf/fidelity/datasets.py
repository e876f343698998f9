"""Questions, articles and text from files in their published formats."""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparq_profiles import SparqPerfError

OWN = Path(__file__).parent / "data"


class DatasetError(SparqPerfError):
    """A data file that is missing or not in the format of its task."""


@dataclass(frozen=True)
class Passage:
    """A text, what is asked about it, and every answer that counts; an article's references are its summaries."""

    text: str
    question: str
    references: tuple[str, ...]


def read_squad(path: Path) -> list[Passage]:
    """SQuAD's JSON (versions 1.1 and 2.0); questions without an answer are left out."""
    passages = []
    try:
        for article in _json(path)["data"]:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    answers = tuple(dict.fromkeys(answer["text"] for answer in qa["answers"]))
                    if answers:
                        passages.append(Passage(paragraph["context"], qa["question"], answers))
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is not SQuAD's JSON: {error!r} is missing") from None
    return _some(passages, path)


def read_triviaqa(path: Path) -> list[Passage]:
    """TriviaQA's reading-comprehension JSON, with the evidence files in a folder ``evidence`` beside it or above.

    A question is asked about its first evidence file that exists; one without any is left out.
    """
    passages = []
    try:
        for item in _json(path)["Data"]:
            answer = item["Answer"]
            known = (answer["Value"], *answer.get("Aliases", ()))
            evidence = _evidence(path, item)
            if evidence is not None:
                text = evidence.read_text(encoding="utf-8", errors="replace")
                passages.append(Passage(text, item["Question"], tuple(dict.fromkeys(known))))
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is not TriviaQA's JSON: {error!r} is missing") from None
    if not passages:
        raise DatasetError(f"{path}: no evidence found: put TriviaQA's folder 'evidence' beside it")
    return passages


def _evidence(path: Path, item: dict[str, Any]) -> Path | None:
    for kind, key in (("wikipedia", "EntityPages"), ("web", "SearchResults")):
        for page in item.get(key, ()):
            for above in (path.parent, path.parent.parent):
                candidate: Path = above / "evidence" / kind / page["Filename"]
                if candidate.is_file():
                    return candidate
    return None


def read_cnn_dailymail(path: Path) -> list[Passage]:
    """CNN/DailyMail as CSV or JSON lines, with the columns ``article`` and ``highlights``."""
    if path.suffix == ".csv":
        csv.field_size_limit(sys.maxsize)
        with _opened(path) as file:
            rows: list[Any] = list(csv.DictReader(file))
    else:
        with _opened(path) as file:
            rows = [_parsed(line, path) for line in file if line.strip()]
    try:
        passages = [Passage(row["article"], "", (row["highlights"],)) for row in rows]
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: column {error} is missing: it needs article and highlights") from None
    return _some(passages, path)


def read_text(paths: list[Path]) -> str:
    """Plain text, such as WikiText's raw files, joined."""
    texts = []
    for path in paths:
        with _opened(path) as file:
            texts.append(file.read().strip())
    text = "\n\n".join(texts)
    if not text.strip():
        raise DatasetError(f"{paths[0]}: is empty")
    return text


def _opened(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8", newline="" if path.suffix == ".csv" else None)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None


def _json(path: Path) -> Any:
    with _opened(path) as file:
        return _parsed(file.read(), path)


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}: is not JSON: {error}") from None


def _some(passages: list[Passage], path: Path) -> list[Passage]:
    if not passages:
        raise DatasetError(f"{path}: holds nothing to ask")
    return passages
