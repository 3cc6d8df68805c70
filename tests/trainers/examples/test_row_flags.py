"""What a row says of itself as a whole, by a weight or a mask beside its messages, is obeyed."""

from __future__ import annotations

from typing import Any

import pytest

from trainers.examples.example import RowExcludedError
from trainers.examples.ledger import Entry, Ledger
from trainers.examples.reader import reader_for
from trainers.examples.rows import Row

Q, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
TURNS = [Q, A, Q, A]


@pytest.mark.parametrize(
    ("beside", "unlearnt"),
    [
        ({"weight": 1}, set()),
        ({"loss_mask": [0, 0, 0, 1]}, {1}),
        ({"loss_mask": "[0, 1]"}, {1}),
        ({"loss_mask": [True, True, True, False]}, {3}),
        ({"train_on_turn": [1, 1, 1]}, set()),
        ({"weight": 0.3}, set()),
        ({"weight": 72}, set()),
    ],
)
def test_answers_that_a_row_excludes_are_not_learnt(beside: dict[str, Any], unlearnt: set[int]) -> None:
    assert set(read({"messages": TURNS, **beside}).unlearnt) == unlearnt


@pytest.mark.parametrize("beside", [{"weight": 0}, {"loss_mask": [0, 0, 0, 0]}, {"is_trainable": False}])
@pytest.mark.parametrize("row", [{"messages": TURNS}, {"messages": [{**Q, "name": ""}, A, Q, A]}])
def test_a_row_of_which_nothing_is_to_be_learnt_is_left_out(row: dict[str, Any], beside: dict[str, Any]) -> None:
    with pytest.raises(RowExcludedError):
        read({**row, **beside})


def test_a_question_and_an_answer_obey_as_a_conversation_does() -> None:
    with pytest.raises(RowExcludedError):
        read({"prompt": "q", "completion": "a", "weight": 0})


def test_the_ledger_tells_flags_that_were_obeyed_from_those_that_were_not() -> None:
    rows = [{"messages": TURNS, "weight": value} for value in (1, 1, 0.3)]
    entry = ledger(rows)
    assert (entry.excluded, entry.unused) == (2, 1)
    assert ledger([{"messages": TURNS, "loss_mask": [0, 1, 1]}]).unused == 1


def read(row: dict[str, Any]) -> Any:
    return reader_for([Row(1, row)], "rows").read(row)


def ledger(rows: list[dict[str, Any]]) -> Entry:
    reader = reader_for([Row(1, rows[0])], "rows")
    found = Ledger(reader)
    for line, row in enumerate(rows, 1):
        found.add(Row(line, row), reader.read(row))
    name = next(name for name in rows[0] if name != "messages")
    return next(entry for entry in found.entries() if entry.name == name)
