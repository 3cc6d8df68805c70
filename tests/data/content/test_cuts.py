"""Answers that were cut are told from answers that merely end without a full stop."""

from __future__ import annotations

import random

from advisor.data.content.cuts import Cuts
from advisor.data.verdict import Finding
from trainers.examples.example import Example

CHOOSER = random.Random(4)


def prose(size: int) -> str:
    """At least `size` characters of sentences."""
    words = ["the", "fox", "met", "a", "crow", "near", "old", "water", "and", "told", "it", "of", "snow"]
    text = ""
    while len(text) < size:
        text += " ".join(CHOOSER.choice(words) for _ in range(CHOOSER.randint(4, 14))).capitalize() + ". "
    return text.strip()


def findings(answers: list[str]) -> list[Finding]:
    cuts = Cuts()
    rows = [Example(({"role": "user", "content": "?"}, {"role": "assistant", "content": one})) for one in answers]
    for line, row in enumerate(rows, 1):
        cuts.add(line, row)
    return list(cuts.findings(len(rows)))


WHOLE = [prose(CHOOSER.randint(100, 1500)) for _ in range(400)]


def test_answers_cut_at_one_length_are_found() -> None:
    cut = [prose(900)[:800] for _ in range(60)]
    (found,) = findings([*(text for text in WHOLE if len(text) < 790), *cut])
    assert found.code == "cut-answers"
    assert "at up to 800 characters" in found.what


def test_the_longest_answers_cut_by_tokens_are_found() -> None:
    cut = [text if len(text) < 1200 else text[: CHOOSER.randint(1100, 1250)].rstrip(" .") for text in WHOLE]
    (found,) = findings(cut)
    assert found.lines


def test_whole_answers_lists_and_code_are_left_alone() -> None:
    assert findings(WHOLE) == []
    assert findings([f"{text}\n- milk\n- bread" for text in WHOLE]) == []
    assert findings([text.replace(".", "") for text in WHOLE]) == []
    assert findings([f"```python\n{text}\n```" for text in WHOLE]) == []
    assert findings([prose(900)[:800] for _ in range(5)]) == []


def test_labels_and_an_empty_set_are_left_alone() -> None:
    assert findings(["yes"] * 100) == []
    assert findings([]) == []
