"""Scores worked out by hand."""

import pytest

from sparq_perf.fidelity.scoring import answered, matched_characters, normalised, rouge_l


@pytest.mark.parametrize(
    ("answer", "reference", "count"),
    [("to be or", "to be and", 6), ("to be", "to be or not", 5), ("x", "to be", 0), ("", "to be", 0)],
)
def test_matched_characters(answer: str, reference: str, count: int) -> None:
    assert matched_characters(answer, reference) == count


def test_the_normal_form() -> None:
    assert normalised("The  Cat's, a  hat!") == "cats hat"


@pytest.mark.parametrize(
    ("answer", "references", "score"),
    [
        (" It was the Half a Ton.\nQuestion: 1841", ("half a ton",), 1.0),
        ("1841 or so", ("1840", "1841"), 1.0),
        ("18410", ("1841",), 0.0),  # whole words
        ("unknown\n1841", ("1841",), 0.0),  # the first line
        ("anything", ("the",), 0.0),  # nothing left of the reference
        ("", ("1841",), 0.0),
    ],
)
def test_answered(answer: str, references: tuple[str, ...], score: float) -> None:
    assert answered(answer, references) == score


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        # Lin 2004's example: "police the gunman" has 2 of 4 words in order, and 2 of its own 4.
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("police ended the gunman", "police killed the gunman", 0.75),
        ("The gunman.", "the gunman", 1.0),
        ("a b c d", "b d", 2 * 2 / 6),
        ("", "b d", 0.0),
        ("x", "y", 0.0),
    ],
)
def test_rouge_l(answer: str, reference: str, score: float) -> None:
    assert rouge_l(answer, reference) == pytest.approx(score)
