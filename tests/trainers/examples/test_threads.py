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
