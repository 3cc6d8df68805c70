"""Solutions judged step by step (process rewards): only those of which every step is right are learnt."""

from __future__ import annotations

import re
from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.turns import decoded
from trainers.language import tr

Row = dict[str, Any]
VERDICT_COLUMNS = ("label", "labels")
_MARK = "ки"
"""Math-Shepherd's mark behind each step, in the place of which its labels write + or -."""
_MARKS = re.compile(rf"\s*{_MARK}(?=\s|$)")
_WRONG = re.compile(r"(?:^|\s)-\s*(?:\n|$)")
_FIRST_STEP = re.compile(r"\s*\bStep 1\s*:")


def is_judged_steps(row: Row) -> bool:
    """Whether a row is a marked solution with the labels of its steps, or a list of steps with one for each."""
    return _is_marked(row) or _steps(row) is not None


def read_judged_steps(row: Row) -> Example:
    """The solution without its marks. Raises RowExcludedError where a step of it is judged wrong."""
    if _is_marked(row):
        if _WRONG.search(row["label"]):
            raise RowExcludedError(tr("a step of the solution is judged wrong"))
        text = _MARKS.sub("", row["input"]).strip()
        begins = _FIRST_STEP.search(text)
        if begins is None or not text[: begins.start()].strip():
            raise RowError(tr("nothing says where the question ends and the first step begins"))
        return _answered(text[: begins.start()].strip(), text[begins.start() :].strip())
    found = _steps(row)
    if found is None:
        raise RowError(tr("steps without a label for each"))
    steps, labels = found
    if not all(labels):
        raise RowExcludedError(tr("a step of the solution is judged wrong"))
    return _answered(row.get("prompt"), "\n".join(steps))


def _answered(question: Any, answer: str) -> Example:
    return conversation([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], {})


def _is_marked(row: Row) -> bool:
    text, labels = row.get("input"), row.get("label")
    return isinstance(text, str) and isinstance(labels, str) and bool(_MARKS.search(text))


def _steps(row: Row) -> tuple[list[str], list[bool]] | None:
    """(steps, whether each is right) of TRL's stepwise form; None for anything else."""
    steps, labels = decoded(row.get("completions")), decoded(row.get("labels"))
    if not (isinstance(steps, list) and isinstance(labels, list) and isinstance(row.get("prompt"), str)):
        return None
    is_whole = bool(steps) and len(steps) == len(labels) and all(isinstance(step, str) for step in steps)
    return (steps, labels) if is_whole and all(isinstance(one, bool) for one in labels) else None
