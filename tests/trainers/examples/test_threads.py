"""Rows that are single messages become conversations where they name theirs."""

from __future__ import annotations

from typing import Any

from trainers.examples.rows import Row
from trainers.examples.threads import joined


def rows(*values: dict[str, Any]) -> list[Row]:
    return list(joined(Row(line, value) for line, value in enumerate(values, 1)))


def message(thread: object, role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"thread_id": thread, "role": role, "content": content, **more}


def test_messages_of_one_thread_are_one_conversation() -> None:
    found = rows(
        message(1, "user", "q1", lang="en"),
        message(1, "assistant", "a1", lang="en"),
        message(2, "assistant", "a2", turn=1),
        message(2, "user", "q2", turn=0),
    )
    assert [row.line for row in found] == [1, 3]
    assert found[0].value == {
        "messages": [{"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1"}],
        "thread_id": 1,
        "lang": "en",
    }
    assert [turn["content"] for turn in (found[1].value or {})["messages"]] == ["q2", "a2"]
    assert found[0].note is not None
    assert found[1].note is None


def test_a_thread_that_comes_again_is_broken() -> None:
    found = rows(message(1, "user", "q"), message(2, "user", "q"), message(1, "assistant", "a"))
    assert "sort the file by thread_id" in found[2].problem


def test_of_a_tree_the_best_ranked_path_is_taken() -> None:
    def node(name: str, parent: str | None, role: str, **more: Any) -> dict[str, Any]:
        about = {"message_tree_id": "t", "message_id": name, "parent_id": parent}
        return {**about, "role": role, "text": name, **more}

    (row,) = rows(
        node("q", None, "prompter"),
        node("worse", "q", "assistant", rank=1),
        node("a", "q", "assistant", rank=0),
        node("so", "a", "prompter"),
        node("then", "so", "assistant"),
    )
    assert [turn["text"] for turn in (row.value or {})["messages"]] == ["q", "a", "so", "then"]


def test_other_rows_pass_as_they_are() -> None:
    values = [{"prompt": "q", "completion": "a", "thread_id": 1}] * 3
    assert [row.value for row in rows(*values)] == values
    alone = [{"role": "user", "content": "q"}] * 3
    assert [row.value for row in rows(*alone)] == alone


def test_what_each_message_says_of_itself_stays_with_its_turn() -> None:
    (row,) = rows(
        message(1, "user", "q", at=1, lang="en"),
        message(1, "assistant", "a", at=2, lang="en", weight=0, reasoning_content="r"),
    )
    assert row.value == {
        "messages": [
            {"role": "user", "content": "q", "at": 1},
            {"role": "assistant", "content": "a", "at": 2, "weight": 0, "reasoning_content": "r"},
        ],
        "thread_id": 1,
        "lang": "en",
    }


def test_deleted_messages_of_a_tree_are_left_out_and_notes_about_each_are_none_of_the_turns() -> None:
    def node(name: str, parent: str | None, role: str, *, deleted: bool = False) -> dict[str, Any]:
        about = {"message_tree_id": "t", "message_id": name, "parent_id": parent, "labels": {"name": ["spam"]}}
        return {**about, "role": role, "text": name, "deleted": deleted}

    (row,) = rows(
        node("q", None, "prompter"), node("no", "q", "assistant", deleted=True), node("a", "q", "assistant")
    )
    turns = [{"role": "prompter", "text": "q"}, {"role": "assistant", "text": "a"}]
    assert row.value == {"messages": turns, "message_tree_id": "t"}
    (gone, _) = rows(
        node("q", None, "prompter", deleted=True), {**node("p", None, "prompter"), "message_tree_id": "u"}
    )
    assert "every message is deleted" in gone.problem
