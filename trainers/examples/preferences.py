"""Rows of sets of preferences: a chosen and a rejected answer, and answers judged good or bad (KTO)."""

from __future__ import annotations

from typing import Any

from trainers.examples import pairs
from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.turn_columns import read_turns, turns_column
from trainers.examples.turns import decoded
from trainers.language import tr

Row = dict[str, Any]

VERDICT_COLUMNS = ("label", "kto_tag")
_VERDICTS: dict[Any, bool] = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_OPENING = "\n\nHuman:"


def is_preferred(row: Row) -> bool:
    """Whether a row holds a chosen and a rejected answer."""
    return "chosen" in row and "rejected" in row


def read_preferred(row: Row) -> Example:
    """The chosen answer behind its prompt; the rejected one is never learnt."""
    chosen = decoded(row.get("chosen"))
    if isinstance(chosen, str) and chosen.startswith(_OPENING):
        return conversation(_human_and_assistant(chosen), row)
    if isinstance(chosen, dict):
        chosen = [chosen]
    elif isinstance(chosen, str):
        chosen = [{"role": "assistant", "content": chosen}]
    if not isinstance(chosen, list) or not chosen:
        raise RowError(tr("column 'chosen' holds no answer"))
    column = turns_column(row)
    if _holds_question(chosen):
        return conversation(chosen, row)
    if column:
        asked = decoded(row[column])
        return conversation([*asked, *chosen] if isinstance(asked, list) else chosen, row)
    return conversation([*pairs.asked_turns(row), *chosen], row)


def _holds_question(chosen: Any) -> bool:
    return isinstance(chosen, list) and any(
        isinstance(turn, dict) and turn.get("role", turn.get("from")) in ("user", "human") for turn in chosen
    )


def leaves_question(row: Row) -> bool:
    """Whether the chosen answers of a row bring their question, so that its columns of questions are not read."""
    chosen = decoded(row.get("chosen"))
    is_written_out = isinstance(chosen, str) and chosen.startswith(_OPENING)
    return is_preferred(row) and (is_written_out or _holds_question(chosen))


def _human_and_assistant(text: str) -> list[Row]:
    turns = []
    for piece in text.split(_OPENING)[1:]:
        question, _, answer = piece.partition("\n\nAssistant:")
        turns += [{"role": "user", "content": question.strip()}, {"role": "assistant", "content": answer.strip()}]
    return turns


def _verdict(row: Row) -> bool | None:
    """Whether the row's answer was judged good; None when nothing says so."""
    for name in VERDICT_COLUMNS:
        value = row.get(name)
        if isinstance(value, bool):
            return value
        if isinstance(value, str | int | float):
            found = _VERDICTS.get(str(value).strip().lower())
            if found is not None:
                return found
    return None


def is_judged(row: Row) -> bool:
    """Whether a row holds an answer and whether it is good."""
    return _verdict(row) is not None and (turns_column(row) is not None or ("prompt" in row and "completion" in row))


def read_judged(row: Row) -> Example:
    """A row of a KTO set: one that was judged bad never trains."""
    example = read_turns(row) if turns_column(row) else pairs.read(row, ("prompt",), ("completion",))
    if _verdict(row) is False:
        raise RowExcludedError(tr("the answer is marked as a bad one (label false)"))
    return example


def tells_classes(row: Row) -> bool:
    """Whether the column of verdicts holds what is none: a class that is to be told."""
    return any(row.get(name) not in (None, "", [], {}) for name in VERDICT_COLUMNS) and _verdict(row) is None
