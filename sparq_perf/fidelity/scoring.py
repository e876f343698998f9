"""How an answer is scored: against references, by the rules that the datasets came with."""

import re
import string
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WORD = re.compile(r"[a-z0-9]+")


def matched_characters(answer: str, reference: str) -> int:
    """Characters from the start on which both agree: the longest exact continuation."""
    count = 0
    for mine, theirs in zip(answer, reference, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def normalised(text: str) -> str:
    """SQuAD's normal form: lower case, without punctuation, articles and runs of spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answered(answer: str, references: Sequence[str]) -> float:
    """1 where the answer's first line contains any reference, both normalised, as whole words; else 0."""
    lines = answer.strip().splitlines()
    told = f" {normalised(lines[0] if lines else '')} "
    return float(any(f" {normalised(reference)} " in told for reference in references if normalised(reference)))


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L's F1: the longest common subsequence of words (Lin 2004), without stemming."""
    mine, theirs = _WORD.findall(answer.lower()), _WORD.findall(reference.lower())
    if not mine or not theirs:
        return 0.0
    lengths = [0] * (len(theirs) + 1)
    for word in mine:
        previous = 0
        for i, other in enumerate(theirs, start=1):
            kept = lengths[i]
            lengths[i] = previous + 1 if word == other else max(lengths[i], lengths[i - 1])
            previous = kept
    common = lengths[-1]
    return 2 * common / (len(mine) + len(theirs))
