"""Flags of a whole row that say what of it is learnt: a weight of 0, a loss mask with one number for each turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trainers.examples.example import Example, RowExcludedError
from trainers.examples.turns import decoded
from trainers.language import tr

FLAG_COLUMNS = (
    "weight", "loss_weight", "sample_weight", "example_weight", "loss_mask", "is_trainable", "trainable",
    "train_on_turn",
)  # fmt: skip
"""Columns beside the messages or the answer that keep a row, or some of its answers, out of training."""
_NAMES = frozenset(FLAG_COLUMNS)
_SWITCHES: dict[Any, bool] = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}


def with_row_flags(example: Example, row: Mapping[str, Any]) -> Example:
    """The example without what its row's flags exclude; flags that say nothing certain change nothing.

    Raises RowExcludedError where nothing of the row is to be learnt.
    """
    if _NAMES.isdisjoint(row):
        return example
    unlearnt = set(example.unlearnt)
    answers = [place for place, message in enumerate(example.messages) if message["role"] == "assistant"]
    for name in FLAG_COLUMNS:
        switches = _switches(row.get(name))
        if isinstance(switches, bool):
            if not switches:
                raise RowExcludedError(tr("the row is excluded from learning ({name} is 0)", name=name))
        elif switches and len(switches) in (len(example.messages), len(answers)):
            places = answers if len(switches) == len(answers) else range(len(example.messages))
            unlearnt |= {place for place, is_learnt in zip(places, switches, strict=True) if not is_learnt}
    unlearnt &= set(answers)
    if unlearnt == example.unlearnt:
        return example
    if len(unlearnt) == len(answers):
        raise RowExcludedError(tr("the row is excluded from learning (all its answers are)"))
    return msgspec.structs.replace(example, unlearnt=frozenset(unlearnt))


def is_obeyed(name: str, value: Any, example: Example) -> bool:
    """Whether a column of this name decides by this value what of the row is learnt."""
    if name not in _NAMES:
        return False
    switches = _switches(value)
    return isinstance(switches, bool) or (
        bool(switches) and len(switches or ()) in (len(example.messages), example.num_answers)
    )


def _switches(value: Any) -> bool | list[bool] | None:
    """True and false as flags are written, one for the row or one for each turn; None for anything else."""
    value = decoded(value)
    if isinstance(value, list):
        found = [one for one in map(_switches, value) if isinstance(one, bool)]
        return found if len(found) == len(value) else None
    key = value.strip().lower() if isinstance(value, str) else value
    return _SWITCHES.get(key) if isinstance(key, str | int | float) else None
