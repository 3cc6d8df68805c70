"""`data convert` writes what was read, says every change, and its file means the same when it is read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.data.convert import convert_dataset, taken_apart
from trainers.examples.example import RowError
from trainers.examples.reader import Reader
from trainers.examples.rows import Row
from trainers.examples.sets import sets_of
from trainers.examples.source import reader_of
from trainers.plan import DatasetRef

FIXTURES = Path(__file__).parents[1] / "fixtures" / "data"


@pytest.mark.parametrize("path", sorted(FIXTURES.iterdir()), ids=lambda path: path.name)
def test_the_clean_file_holds_the_same_examples(tmp_path: Path, path: Path) -> None:
    output = tmp_path / "clean.jsonl"
    named = DatasetRef(source=str(path))
    made = convert_dataset(named, output, allow=["broken-rows", "unused-content"])
    source = sets_of(named).train
    reader, again = reader_of(source), sets_of(DatasetRef(source=str(output))).train
    wanted = [reader.example(row) for row in source.rows() if _is_usable(reader, row)]
    clean = reader_of(again)
    found = [clean.example(row) for row in again.rows()]
    assert [taken_apart(example) for example in found] == [taken_apart(example) for example in wanted]
    assert made.written == len(found)


def _is_usable(reader: Reader, row: Row) -> bool:
    try:
        reader.example(row)
    except RowError:
        return False
    return True


def test_changes_and_broken_rows_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    turns = [{"from": "human", "value": "q"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}]
    path.write_text(json.dumps({"conversations": turns, "mood": "glad"}) + "\n{oops\n", encoding="utf-8")
    made = convert_dataset(DatasetRef(source=str(path)), tmp_path / "b.jsonl", drops=["broken-rows"])
    assert (made.written, made.broken) == (1, 1)
    assert made.problems[0].startswith("line 2: ")
    assert "role 'human' renamed in 1 rows" in made.changes
    assert "calls written as tool_calls with arguments as objects in 1 rows" in made.changes
    assert "column 'mood' left out (1 times)" in made.changes
    assert made.shown[0].after["messages"][1]["tool_calls"][0]["function"]["name"] == "f"


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="there already"):
        convert_dataset(DatasetRef(source=str(path)), path)
    assert path.read_text(encoding="utf-8") == '{"text": "a"}\n'


def test_rows_that_evaluate_can_be_left_out(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(6)]
    train, held = put(tmp_path / "a.jsonl", rows), put(tmp_path / "held.jsonl", rows[:2])
    named = DatasetRef(source=train, eval_source=held)
    made = convert_dataset(named, tmp_path / "b.jsonl", drops=["eval-overlap"])
    assert (made.written, made.dropped) == (4, 2)
    with pytest.raises(InputError, match="no evaluation set"):
        convert_dataset(DatasetRef(source=train), tmp_path / "c.jsonl", drops=["eval-overlap"])


def put(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_what_the_check_blocks_is_not_made_to_look_clean(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"role": ("user", "assistant")[n % 2], "content": f"t{n}"} for n in range(8)]
    source, output = put(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    with pytest.raises(InputError, match="'role' is filled in 8 rows"):
        convert_dataset(DatasetRef(source=source), output)
    assert not list(tmp_path.glob("b.jsonl*"))
    assert convert_dataset(DatasetRef(source=source), output, allow=["unused-content"]).written == 8


def test_rows_with_what_cannot_be_used_can_be_dropped(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows: list[dict[str, object]] = [{"messages": chat, "videos": ["a.mp4"] if n < 2 else []} for n in range(6)]
    source = put(tmp_path / "a.jsonl", rows)
    made = convert_dataset(DatasetRef(source=source), tmp_path / "b.jsonl", drops=["unused-content"])
    assert (made.written, made.dropped) == (4, 2)


def test_a_rendered_chat_is_taken_apart(tmp_path: Path) -> None:
    text = "<s>[INST] {0} [/INST] It is {0}.</s>"
    source = put(tmp_path / "a.jsonl", [{"text": text.format(n)} for n in range(3)])
    made = convert_dataset(DatasetRef(source=source), tmp_path / "b.jsonl")
    assert made.changes == ["a rendered chat taken apart into messages in 3 rows"]
    assert made.shown[0].after["messages"][1] == {"role": "assistant", "content": "It is 0."}
