"""The ledger: every column, turn and key ends as learnt, shown, left out or unused, and the sums add up."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trainers.examples.ledger import Entry, Ledger, fates
from trainers.examples.reader import Reader, reader_for
from trainers.examples.rows import Row

Q, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def entries(rows: list[dict[str, Any]], **options: Any) -> dict[tuple[str, str], Entry]:
    reader = reader_for([Row(1, rows[0])], "rows", mapping=options.pop("mapping", None))
    ledger = Ledger(reader, **options)
    for line, row in enumerate(rows, 1):
        ledger.add(Row(line, row), reader.read(row))
    return {(entry.what, entry.name): entry for entry in ledger.entries()}


def test_what_is_shown_and_what_is_learnt_is_told_apart() -> None:
    found = entries([{"instruction": "q", "context": "c", "response": "a", "category": "x"}] * 3)
    assert found["column", "instruction"].shown == 3
    assert found["column", "context"].shown == 3
    assert found["column", "response"].learnt == 3
    read = {"prompt": "instruction", "completion": "response", "context": "context"}
    wanted = Entry(what="column", name="category", unused=3, lines=(1, 2, 3), read=read)
    assert found["column", "category"] == wanted


def test_of_two_answers_the_second_is_unused() -> None:
    found = entries([{"instruction": "q", "output": "a", "response": "b"}])
    assert (found["column", "output"].learnt, found["column", "response"].unused) == (1, 1)


def test_empty_cells_are_not_counted() -> None:
    assert ("column", "note") not in entries([{"prompt": "q", "completion": "a", "note": ""}])


def test_turns_that_the_data_excludes_are_counted_as_such() -> None:
    found = entries([{"messages": [Q, {**A, "weight": 0}, Q, A]}])
    assert (found["turn", "assistant"].excluded, found["turn", "assistant"].learnt) == (1, 1)
    assert found["turn", "user"].shown == 2


def test_keys_of_turns_that_no_reader_knows_are_unused() -> None:
    found = entries([{"messages": [{**Q, "mood": "glad"}, A]}])
    assert found["key", "mood"].unused == 1


def test_with_a_mapping_every_other_column_is_unused() -> None:
    row = {"ask": "q", "say": "a", "system": "s"}
    found = entries([row], mapping={"prompt": "ask", "completion": "say"})
    assert (found["column", "ask"].shown, found["column", "say"].learnt, found["column", "system"].unused) == (
        1,
        1,
        1,
    )


def test_loss_on_all_learns_every_turn() -> None:
    assert entries([{"messages": [Q, A]}], loss_on="all")["turn", "user"].learnt == 1


@given(st.lists(st.sampled_from(["prompt", "completion", "response", "system", "id", "input", "tools"]), unique=True))
def test_every_filled_column_has_one_fate(names: list[str]) -> None:
    reader = Reader(reader_for([Row(1, {"prompt": "q", "completion": "a"})], "rows").layout)
    assert set(fates(tuple(names), reader)) == set(names)


def test_a_prompt_inside_a_column_of_notes_is_found_with_the_mapping_that_reads_it() -> None:
    found = entries([{"messages": [Q, A], "metadata": {"system_prompt": "Be kind.", "n": 1}}])
    inner = found["column", "metadata.system_prompt"]
    assert (inner.unused, inner.read) == (1, {"messages": "messages"})


def test_what_is_no_text_is_counted_where_a_text_is_expected() -> None:
    rows = [{"question": "q", "answer": True}, {"question": "q", "answer": {"x": 1}}, {"question": "q", "answer": 3}]
    assert entries(rows)["column", "answer"].no_text == {"true or false": 1, "object": 1, "number": 1}
    assert not entries([{"question": "q", "answer": ["a"]}])["column", "answer"].no_text


def test_a_weight_between_and_the_name_of_a_speaker_are_unused() -> None:
    found = entries([{"messages": [{**Q, "name": "Anna"}, {**A, "weight": 0.5}, Q, {**A, "weight": 1}]}])
    assert (found["key", "name"].unused, found["key", "weight"].unused) == (1, 1)
    assert ("key", "name") not in entries([{"messages": [Q, {"role": "tool", "name": "f", "content": "r"}, A]}])


def test_a_column_that_repeats_what_is_read_elsewhere_is_no_loss() -> None:
    rows = [{"problem": "q", "solution": "a", "messages": [Q, A]}] * 2
    found = entries(rows)
    assert (found["column", "problem"].shown, found["column", "solution"].shown) == (2, 2)
    found = entries([*rows, {"problem": "q", "solution": "another", "messages": [Q, A]}])
    assert found["column", "solution"].unused == 3
    assert found["column", "problem"].shown == 3


def test_a_short_text_inside_a_longer_one_is_no_repetition() -> None:
    row = {"prompt": "is it q", "completion": "a", "note": "q"}
    assert entries([row])["column", "note"].unused == 1
