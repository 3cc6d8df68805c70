"""Answers that are one of a few labels: accuracy, macro F1 and the confusion table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

OTHER = "(another answer)"
"""What the confusion table calls an answer that is no label."""


class Classes(msgspec.Struct, frozen=True, kw_only=True):
    """Labels are compared with blanks and case aside."""

    of: int
    accuracy: float
    macro_f1: float
    """Mean of the labels' F1; a label that is never answered and never asked for does not count."""
    confusion: dict[str, dict[str, int]]
    """Reference label -> answered label -> how often."""


def classes(references: Sequence[str], answers: Sequence[str]) -> Classes:
    """Score answers against their references, one for one; all figures are 0 for no answers."""
    wanted = [_label(text) for text in references]
    labels = set(wanted)
    found = [label if (label := _label(text)) in labels else OTHER for text in answers]
    pairs = Counter(zip(wanted, found, strict=True))
    asked, answered = Counter(wanted), Counter(found)
    right = sum(pairs[label, label] for label in labels)
    f1 = [2 * pairs[label, label] / (asked[label] + answered[label]) for label in labels]
    confusion: dict[str, dict[str, int]] = {}
    for (reference, answer), times in sorted(pairs.items()):
        confusion.setdefault(reference, {})[answer] = times
    return Classes(
        of=len(wanted),
        accuracy=right / len(wanted) if wanted else 0.0,
        macro_f1=sum(f1) / len(f1) if f1 else 0.0,
        confusion=confusion,
    )


def same_label(reference: str, answer: str) -> float:
    """1 for the same label, blanks and case aside."""
    return float(_label(reference) == _label(answer))


def _label(text: str) -> str:
    return " ".join(text.split()).casefold()
