"""Tasks that say once what is to be done: seed tasks with their instances, instances of a defined task."""

from __future__ import annotations

from typing import Any

from trainers.examples import pairs
from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError
from trainers.language import tr

Row = dict[str, Any]
GIVEN, WANTED = ("inputs", "input"), ("targets", "target", "output", "outputs")
"""Columns of an instance: what is given, and what is wanted."""


def is_seed(row: Row) -> bool:
    """Whether a row is a seed task with its instances."""
    return "instruction" in row and isinstance(row.get("instances"), list)


def read_seed(row: Row) -> Example:
    """A seed task: each instance is one turn under the instruction."""
    turns: list[Row] = []
    instances = row.get("instances")
    if not isinstance(instances, list):
        raise RowError(tr("column 'instances' is no list"))
    for instance in instances:
        if not isinstance(instance, dict):
            raise RowError(tr("an instance is no object with input and output"))
        example = pairs.read({**instance, "instruction": row.get("instruction")}, ("instruction",), ("output",))
        turns += example.messages
    return conversation(turns, row)


def is_defined(row: Row) -> bool:
    """Whether a row is an instance of a task with its definition."""
    return "definition" in row and any(name in row for name in GIVEN) and any(name in row for name in WANTED)


def read_defined(row: Row) -> Example:
    """An instance of a task (Natural Instructions): its definition asks, with the input behind it."""
    given = next((row[name] for name in GIVEN if row.get(name)), None)
    return pairs.read({**row, "instruction": row.get("definition"), "input": given}, ("instruction",), WANTED)
