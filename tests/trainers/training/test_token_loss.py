"""Rows that only fill a batch up are not learnt from a second time."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.training.rendering import IGNORED
from trainers.training.token_loss import only_first


@given(rows=st.integers(-3, 6), batch_rows=st.integers(1, 4), length=st.integers(1, 5))
def test_of_a_padded_batch_only_the_first_rows_keep_labels(rows: int, batch_rows: int, length: int) -> None:
    batch = {"labels": torch.ones(batch_rows, length, dtype=torch.long), "input_ids": torch.ones(batch_rows, length)}
    left = only_first(batch, rows, batch_rows)
    kept = min(max(rows, 0), batch_rows)
    assert (left["labels"] != IGNORED).all(dim=1).tolist() == [True] * kept + [False] * (batch_rows - kept)
    assert left["input_ids"] is batch["input_ids"]
    assert (batch["labels"] == 1).all()


def test_rows_that_were_joined_to_one_are_told_apart_by_their_positions() -> None:
    batch = {
        "labels": torch.arange(10, 17)[None],
        "position_ids": torch.tensor([[0, 1, 2, 0, 1, 0, 1]]),
    }
    assert only_first(batch, 2, 3)["labels"].tolist() == [[10, 11, 12, 13, 14, IGNORED, IGNORED]]
    assert only_first(batch, -1, 3)["labels"].tolist() == [[IGNORED] * 7]
    assert only_first(batch, 3, 3) is batch


def test_packed_rows_several_to_a_batch_stay_as_they_are() -> None:
    batch = {"labels": torch.arange(10, 15)[None], "position_ids": torch.tensor([[0, 1, 0, 1, 0]])}
    assert only_first(batch, 1, 2)["labels"].tolist() == batch["labels"].tolist()
