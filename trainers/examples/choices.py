"""Rows of multiple choice: a question, its choices, and which of them is right (ARC, MMLU, RACE, HellaSwag, PIQA).

    {"question": "What is red?", "choices": ["sky", "blood"], "answer": 1}

The choices are listed under the question by their letters, and the right one is learnt with its letter.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.turns import decoded
from trainers.foreign.text import whole_number
from trainers.language import tr

Row = dict[str, Any]

QUESTION_COLUMNS = ("question", "question_stem", "stem", "ctx", "query", "prompt", "problem")
CHOICE_COLUMNS = ("choices", "options", "endings")
LETTERED = tuple(
    tuple(f"{prefix}{letter}" for letter in "abcde") for prefix in ("", "option_", "option", "choice_", "op")
)
"""Columns that hold one choice each."""
RIGHT_COLUMNS = (
    *("answerkey", "answer_idx", "answer_index", "correct_option", "correct_answer", "correct"),
    *("cop", "label", "gold", "answer", "target"),
)
"""Columns that say which one is right, those that say it plainest first."""
CONTEXT_COLUMNS = ("article", "passage", "context", "background", "fact1")
NUMBERED = (
    ("goal", ("sol1", "sol2"), "label", 0),
    ("sentence", ("option1", "option2"), "answer", 1),
    ("startphrase", ("ending0", "ending1", "ending2", "ending3"), "label", 0),
)
"""Published sets whose choices are numbered (PIQA, Winogrande, SWAG): question, choices, the column that says which
is right, and the number that it gives to the first. Numbers alone do not tell from where they are counted.
"""
_LABEL = re.compile(r"\(?([A-Z])[).:]\s*")
_NONE = (None, "", -1, "-1")

Choices = dict[str, str]
"""Letter (or the label that the data gives) -> text."""


def is_multiple_choice(row: Row) -> bool:
    """Whether a row asks a question, lists choices, and says which one is right, or leaves that open."""
    row = _lettered(row)
    choices, right = choices_of(row), _right_column(row)
    if _question(row) is None or choices is None or right is None:
        return False
    return row[right] in _NONE or _label(row[right], choices) is not None


def read_multiple_choice(row: Row) -> Example:
    """The question with its choices, and the right one. Raises RowError for one that names none of them."""
    row = _lettered(row)
    choices, right, question = choices_of(row), _right_column(row), _question(row)
    if choices is None or right is None or question is None:
        raise RowError(tr("a question of multiple choice without its choices, or without the right one"))
    if row[right] in _NONE:
        raise RowExcludedError(tr("a question of multiple choice that does not say which answer is right"))
    label = _label(row[right], choices)
    if label is None:
        raise RowError(
            tr("column '{right}' names none of the {num_choices} choices", right=right, num_choices=len(choices))
        )
    context = [row[name] for name in CONTEXT_COLUMNS if isinstance(row.get(name), str) and row[name].strip()]
    listed = "\n".join(f"{one}. {text}" for one, text in choices.items())
    return conversation(
        [
            {"role": "user", "content": "\n\n".join([*context, question, listed])},
            {"role": "assistant", "content": f"{label}. {choices[label]}"},
        ],
        {},
    )


def _lettered(row: Row) -> Row:
    """A row of numbered choices as one whose choices have letters; any other as it is."""
    for question, names, right, first in NUMBERED:
        if question in row and right in row and all(isinstance(row.get(name), str) for name in names):
            said = str(row[right]).strip()
            number = whole_number(said)
            place = -1 if number is None else number - first
            is_one = 0 <= place < len(names)
            answer = ascii_uppercase[place] if is_one else None if row[right] in _NONE else f"{right} {said}"
            return {"question": row[question], "choices": [row[name] for name in names], "answer": answer}
    return row


def choices_of(row: Row) -> Choices | None:
    """The choices by their labels; None for a row that lists none, or fewer than two."""
    found = next((decoded(row[name]) for name in CHOICE_COLUMNS if row.get(name)), None)
    choices = _listed(found) if found is not None else _in_columns(row)
    return choices if choices is not None and len(choices) > 1 else None


def _listed(found: Any) -> Choices | None:
    """Choices in one column: texts, objects with a label and a text, both as lists side by side, or by letter."""
    if isinstance(found, dict) and isinstance(found.get("text"), list) and isinstance(found.get("label"), list):
        return _by_label(found["label"], found["text"])
    if isinstance(found, dict) and all(isinstance(text, str) and len(key) == 1 for key, text in found.items()):
        return found
    if not isinstance(found, list) or len(found) > len(ascii_uppercase):
        return None
    if all(isinstance(one, dict) and isinstance(one.get("text"), str) and "label" in one for one in found):
        return _by_label([one["label"] for one in found], [one["text"] for one in found])
    return _by_label(ascii_uppercase[: len(found)], _bare(found)) if all(isinstance(t, str) for t in found) else None


def _by_label(labels: Any, texts: list[Any]) -> Choices | None:
    named = [str(label) for label in labels]
    is_whole = len(set(named)) == len(named) == len(texts) and all(isinstance(text, str) for text in texts)
    return dict(zip(named, texts, strict=True)) if is_whole else None


def _bare(texts: list[str]) -> list[str]:
    """The texts without the letters that stand before them, where every one has its own (AQuA: `A)21`)."""
    found = [_LABEL.match(text) for text in texts]
    if [one[1] for one in found if one] != list(ascii_uppercase[: len(texts)]):
        return texts
    return [text[one.end() :] for text, one in zip(texts, found, strict=True) if one]


def _in_columns(row: Row) -> Choices | None:
    for names in LETTERED:
        texts = [row[name] for name in names if isinstance(row.get(name), str) and row[name]]
        if len(texts) > 1 and all(name in row for name in names[: len(texts)]):
            return dict(zip(ascii_uppercase, texts, strict=False))
    return None


def _question(row: Row) -> str | None:
    texts = (row[name] for name in QUESTION_COLUMNS if isinstance(row.get(name), str))
    return next((text for text in texts if text.strip()), None)


def _right_column(row: Row) -> str | None:
    filled = (name for name in RIGHT_COLUMNS if name in row and row[name] not in _NONE)
    return next(filled, next((name for name in RIGHT_COLUMNS if name in row), None))


def _label(right: Any, choices: Choices) -> str | None:
    """The label of the right choice: stated, the text itself, or its place counted from 0; None for no choice."""
    if isinstance(right, list) and len(right) == 1:
        right = right[0]
    if isinstance(right, bool) or not isinstance(right, str | int):
        return None
    said = str(right).strip()
    bare = said.strip("().: ").upper()
    if said in choices or bare in choices:
        return said if said in choices else bare
    if said in choices.values():
        return next(label for label, text in choices.items() if text == said)
    place = whole_number(said)
    return list(choices)[place] if place is not None and place < len(choices) else None
