"""Measures of plain text: exact, normalised, token F1, numbers, ROUGE-L, chrF. Each from 0 to 1."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
SAME_NUMBER = 1e-6
"""Largest relative difference between two numbers that count as the same."""
CHRF_ORDER, CHRF_BETA = 6, 2.0
ARTICLES = re.compile(r"\b(a|an|the)\b")


def exact(reference: str, answer: str) -> float:
    """1 for the same text, blanks at both ends aside."""
    return float(reference.strip() == answer.strip())


def normalised(text: str) -> str:
    """As SQuAD's evaluation compares, after NFKC: lower case, no punctuation, no English articles, single blanks."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = "".join(mark for mark in text if mark not in string.punctuation)
    return " ".join(ARTICLES.sub(" ", text).split())


def normalised_match(reference: str, answer: str) -> float:
    """1 for the same text once normalised."""
    return float(normalised(reference) == normalised(answer))


def holds(reference: str, answer: str) -> float:
    """1 where the normalised answer holds the words of the normalised reference, whatever stands around them."""
    wanted, found = normalised(reference).split(), normalised(answer).split()
    places = range(len(found) - len(wanted) + 1)
    return float(bool(wanted) and any(found[place : place + len(wanted)] == wanted for place in places))


def token_f1(reference: str, answer: str) -> float:
    """Harmonic mean of the shares of normalised words that both hold (SQuAD's F1)."""
    wanted, found = Counter(normalised(reference).split()), Counter(normalised(answer).split())
    if not wanted or not found:
        return float(wanted == found)
    return _f1((wanted & found).total(), found.total(), wanted.total())


def last_number(text: str) -> float | None:
    """The last number of a text, where answers usually end; None without one."""
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def number_match(reference: str, answer: str) -> float:
    """1 where the last number of both is the same; texts without a number are wrong."""
    wanted, found = last_number(reference), last_number(answer)
    if wanted is None or found is None:
        return 0.0
    return float(math.isclose(wanted, found, rel_tol=SAME_NUMBER, abs_tol=SAME_NUMBER))


def rouge_l(reference: str, answer: str) -> float:
    """F-measure of the longest common subsequence of lower-case words of letters and digits (Lin 2004), unstemmed."""
    wanted, found = (re.findall(r"[a-z0-9]+", text.lower()) for text in (reference, answer))
    if not wanted or not found:
        return 0.0
    return _f1(_common_subsequence(wanted, found), len(found), len(wanted))


def chrf(reference: str, answer: str) -> float:
    """Sentence chrF2 (Popovic 2015) as sacrebleu computes it by default: character n-grams up to 6, no blanks."""
    wanted, found = ("".join(text.split()) for text in (reference, answer))
    precisions, recalls = [], []
    for order in range(1, CHRF_ORDER + 1):
        ours, theirs = _ngrams(found, order), _ngrams(wanted, order)
        if not ours or not theirs:
            continue
        common = (ours & theirs).total()
        precisions.append(common / ours.total())
        recalls.append(common / theirs.total())
    if not precisions:
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    weighted = CHRF_BETA**2 * precision + recall
    return (1 + CHRF_BETA**2) * precision * recall / weighted if weighted else 0.0


def _f1(common: int, found: int, wanted: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / found, common / wanted
    return 2 * precision * recall / (precision + recall)


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, 1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
