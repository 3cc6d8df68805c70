"""What rows mean; and that the training process, which reads them again, means the same."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.data.formats import ANSWER_COLUMNS, ROLES, RowError, format_of, normalise
from trainers import conversations

GOOD: list[dict[str, Any]] = [
    {"text": "plain"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {"messages": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    {
        "conversations": [
            {"from": "system", "value": "s"},
            {"from": "human", "value": "q"},
            {"from": "gpt", "value": "a"},
        ]
    },
    {"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {"prompt": "q", "completion": "a"},
    {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
    {"instruction": "q", "input": "more", "output": "a"},
    {"instruction": "q", "input": "", "output": "a", "system": "s"},
    {"instruction": "q", "response": "a"},
    {"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "q"}]},
            {"role": "assistant", "content": "a"},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"x": 1}'}}]},
            {"role": "tool", "content": "1"},
            {"role": "assistant", "content": "a"},
        ],
        "tools": '[{"type": "function", "function": {"name": "f"}}]',
    },
    {"system": "s", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
]
BAD: list[dict[str, Any]] = [
    {"text": ""},
    {"messages": []},
    {"messages": [{"role": "user", "content": "q"}]},
    {"messages": [{"role": "alien", "content": "q"}]},
    {"messages": ["q", "a"]},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}]},
    {"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "a"}]},
    {"prompt": "q", "completion": ""},
    {"prompt": None, "completion": "a"},
    {"instruction": "q", "output": None},
]


@pytest.mark.parametrize("row", GOOD)
def test_good_rows_mean_the_same_to_the_training_process(row: dict[str, Any]) -> None:
    kind = format_of(row)
    assert kind is not None
    assert kind == conversations.format_of(row)
    example, theirs = normalise(row, kind), conversations.normalise(row, kind)
    assert list(example.messages) == theirs.get("messages", [])
    assert example.text == theirs.get("text", "")
    assert example.tools == theirs.get("tools")


@pytest.mark.parametrize("row", BAD)
def test_bad_rows_are_refused_by_both(row: dict[str, Any]) -> None:
    kind = format_of(row) or conversations.format_of(row) or "messages"
    with pytest.raises(RowError):
        normalise(row, kind)
    with pytest.raises(conversations.RowError):
        conversations.normalise(row, kind)


def test_roles_and_columns_are_those_of_the_training_process() -> None:
    assert ROLES == conversations.ROLES
    assert ANSWER_COLUMNS == conversations.ANSWER_COLUMNS


def test_empty_answers_are_refused() -> None:
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": " "}]}
    with pytest.raises(RowError, match="every assistant message is empty"):
        normalise(row, "messages")
