"""Data sets from the hub, with rows as it gives them and without a network."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparq_perf.fidelity.datasets import DatasetError, read_text
from sparq_perf.fidelity.hub import SOURCES, fetch
from sparq_perf.fidelity.tasks import TASKS

ROWS: dict[str, list[dict[str, Any]]] = {
    "Salesforce/wikitext": [{"text": " = A = \n"}, {"text": " One line . \n"}],
    "rajpurkar/squad": [
        {"id": "1", "context": "c", "question": "q?", "answers": {"text": ["a", "a"], "answer_start": [0, 0]}}
    ],
    "mandarjoshi/trivia_qa": [
        {"question": "none?", "answer": {"value": "n", "aliases": []}, "entity_pages": {"wiki_context": []}},
        {
            "question": "q?",
            "answer": {"value": "v", "aliases": ["w"]},
            "entity_pages": {"wiki_context": ["text", "more"]},
        },
    ],
    "abisee/cnn_dailymail": [{"article": "long", "highlights": "short", "id": "1"}],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(source: str, name: str | None, *, split: str) -> list[dict[str, Any]]:
        asked.append((source, name, split))
        return ROWS[source]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


@pytest.mark.parametrize("name", TASKS)
def test_rows_become_a_file_that_is_read(name: str, asked: list[tuple[Any, ...]], tmp_path: Path) -> None:
    path = fetch(name, tmp_path / "data")
    read = TASKS[name].read
    if read is None:
        assert read_text([path]) == "= A = \n One line ."
    else:
        (passage,) = read(path)
        expected = {
            "squad": ("c", "q?", ("a",)),
            "triviaqa": ("text", "q?", ("v", "w")),
            "cnn_dailymail": ("long", "", ("short",)),
        }[name]
        assert (passage.text, passage.question, passage.references) == expected
    assert asked == [SOURCES[name][:3]]
    assert fetch(name, tmp_path / "data") == path
    assert len(asked) == 1  # it is there


def test_what_the_hub_does_not_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DatasetError, match="--data squad=hub needs the package datasets"):
        fetch("squad", tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=fail))
    with pytest.raises(DatasetError, match=r"squad: cannot be had from the hub: no route$"):
        fetch("squad", tmp_path)
    assert not list(tmp_path.iterdir())
