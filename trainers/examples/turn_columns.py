"""The columns that hold the turns of a conversation."""

from __future__ import annotations

from typing import Any

from trainers.examples.conversation import conversation, is_turn
from trainers.examples.conversation import is_turn_pair as is_pair
from trainers.examples.example import Example
from trainers.examples.turns import decoded

Row = dict[str, Any]

_TURN_NAMES = """
messages conversations conversation dialogue dialogues dialog chat turns contents chat_messages internal
"""
TURN_COLUMNS = tuple(_TURN_NAMES.split())


def turns_column(row: Row) -> str | None:
    """The column of a row that holds turns; None where none does."""
    for column in TURN_COLUMNS:
        value = row.get(column)
        if isinstance(value, list | dict) and value:
            return column
        if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
            return column
    return next((column for column in TURN_COLUMNS[:2] if column in row), None)


def speaks_from(row: Row) -> bool:
    """Whether the turns of a row say under `from` who speaks (ShareGPT)."""
    column = turns_column(row)
    turns = decoded(row.get(column)) if column else None
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, dict) and "from" in first


def are_pairs(row: Row) -> bool:
    """Whether each entry of a row's turns holds a question and its answer."""
    column = turns_column(row)
    turns = decoded(row.get(column)) if column else None
    first = turns[0] if isinstance(turns, list) and turns else None
    return (isinstance(first, dict) and not is_turn(first) and is_pair(first)) or isinstance(first, list | str)


def read_turns(row: Row) -> Example:
    """The turns of a row, with what stands beside them. Raises RowError saying what is wrong with them."""
    column = turns_column(row)
    return conversation(row.get(column) if column else None, row)
