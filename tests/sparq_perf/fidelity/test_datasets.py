"""Files in the published formats, the project's own ones among them."""

import json
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.fidelity.datasets import OWN, DatasetError, read_cnn_dailymail, read_squad, read_text, read_triviaqa
from sparq_perf.fidelity.tasks import REPEATED_START, TASKS, find_task, make_examples

SIZES = {"context": 200, "new_tokens": 12, "n_examples": 3, "seed": 1}


def test_the_projects_own_files() -> None:
    squad = read_squad(OWN / "squad.json")
    assert len(squad) == 5
    assert squad[4].references == ("in the churchyard", "the churchyard")
    article = json.loads((OWN / "squad.json").read_text(encoding="utf-8"))["data"][0]
    for paragraph in article["paragraphs"]:
        for qa in paragraph["qas"]:
            for answer in qa["answers"]:
                at = answer["answer_start"]
                assert paragraph["context"][at : at + len(answer["text"])] == answer["text"]
    trivia = read_triviaqa(OWN / "triviaqa.json")
    assert [passage.references[0] for passage in trivia] == ["Mercury", "Paris", "Samuel Pryce"]
    assert all(passage.references[0].lower() in passage.text.lower() for passage in trivia)
    news = read_cnn_dailymail(OWN / "cnn_dailymail.jsonl")
    assert [passage.references[0].count("\n") for passage in news] == [1, 1]
    assert read_text([OWN / "wikitext.txt"]).startswith("= The Lighthouse")


def test_news_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text('id,article,highlights\n1,"One, two.\nThree.","One.\nThree."\n', encoding="utf-8")
    (passage,) = read_cnn_dailymail(path)
    assert (passage.text, passage.references) == ("One, two.\nThree.", ("One.\nThree.",))


def test_evidence_beside_and_above(tmp_path: Path) -> None:
    items = [
        {"Question": "A?", "Answer": {"Value": "a"}, "EntityPages": [{"Filename": "none.txt"}], "SearchResults": []},
        {"Question": "B?", "Answer": {"Value": "b", "Aliases": ["B", "b"]}, "SearchResults": [{"Filename": "9/b.txt"}]},
    ]
    (tmp_path / "qa").mkdir()
    (tmp_path / "evidence" / "web" / "9").mkdir(parents=True)
    (tmp_path / "evidence" / "web" / "9" / "b.txt").write_text("about b", encoding="utf-8")
    path = tmp_path / "qa" / "web-dev.json"
    path.write_text(json.dumps({"Data": items}), encoding="utf-8")
    (passage,) = read_triviaqa(path)
    assert (passage.question, passage.text, passage.references) == ("B?", "about b", ("b", "B"))


@pytest.mark.parametrize(
    ("read", "text", "match"),
    [
        (read_squad, "{", "is not JSON"),
        (read_squad, '{"version": "1.1"}', "is not SQuAD's JSON: KeyError.'data'. is missing"),
        (read_squad, '{"data": []}', "holds nothing to ask"),
        (read_triviaqa, "[]", "is not TriviaQA's JSON"),
        (read_triviaqa, '{"Data": []}', "no evidence found: put TriviaQA's folder 'evidence' beside it"),
        (read_cnn_dailymail, '{"article": "x"}', "column 'highlights' is missing"),
        (lambda path: read_text([path]), " \n", "is empty"),
    ],
)
def test_bad_files(read: Any, text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=match):
        read(path)


@pytest.mark.parametrize("name", TASKS)
def test_examples_fit_and_repeat(name: str, tokenizer: Any) -> None:
    task = TASKS[name]
    examples = make_examples(task, list(task.files), tokenizer, **SIZES)
    assert examples == make_examples(task, list(task.files), tokenizer, **SIZES)
    assert 2 <= len(examples) <= 3
    assert all(0 < len(example.prompt) <= 200 for example in examples)
    if task.metric is None:
        text = read_text(list(task.files))
        for example in examples:
            assert len(example.forced) == 13
            assert tokenizer.decode([*example.prompt, *example.forced]) in text
    else:
        assert all(example.references for example in examples)


def test_a_repeated_passage_stands_in_the_prompt(tokenizer: Any) -> None:
    task = find_task("repetition")
    for example in make_examples(task, list(task.files), tokenizer, **SIZES):
        start = tokenizer.decode(example.prompt[-REPEATED_START:])
        assert start + example.references[0] in tokenizer.decode(example.prompt[:-REPEATED_START])


def test_a_question_stays_whole_where_its_text_is_cut(tokenizer: Any) -> None:
    task = find_task("squad")
    (example, *_) = make_examples(task, list(task.files), tokenizer, **{**SIZES, "context": 160})
    assert len(example.prompt) == 160
    assert tokenizer.decode(example.prompt).endswith("?\nAnswer:")


def test_too_short(tokenizer: Any) -> None:
    for name, sizes, match in (
        ("wikitext", {"context": 5000}, "holds fewer than 5013 tokens"),
        ("repetition", {"context": 40}, "at least 60 tokens"),
        ("squad", {"context": 20}, "leaves no room in --context 20"),
    ):
        task = find_task(name)
        with pytest.raises(DatasetError, match=match):
            make_examples(task, list(task.files), tokenizer, **{**SIZES, **sizes})
    with pytest.raises(DatasetError, match="unknown task 'poetry': known: wikitext"):
        find_task("poetry")
