"""Requests and responses of the interfaces of many providers are one conversation each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainers.examples.example import RowError, RowExcludedError
from trainers.examples.reader import reader_for
from trainers.examples.rows import Row

Q, A, S = ({"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "a"), ("system", "s")))
CHOICES = {"choices": [{"message": A, "finish_reason": "stop"}]}
BEDROCK = {"system": [{"text": "s"}], "messages": [{"role": "user", "content": [{"text": "q"}]}]}
TOOL = {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}


def read(row: dict[str, Any]) -> Any:
    reader = reader_for([Row(1, row)], "rows")
    assert reader.layout.name == "logged_call"
    return reader.example(Row(1, row))


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"request_body": {"messages": [Q]}, "response_body": CHOICES}, [Q, A]),
        ({"messages": json.dumps([Q]), "response": json.dumps(CHOICES)}, [Q, A]),
        ({"inputs": {"messages": [Q], "model": "m"}, "output": CHOICES}, [Q, A]),
        ({"object": "chat.completion", "messages": [S, Q], **CHOICES}, [S, Q, A]),
        ({"data": {"request": json.dumps({"messages": [Q]}), "response": json.dumps(CHOICES)}}, [Q, A]),
        ({"type": "GENERATION", "input": [S, Q], "output": A}, [S, Q, A]),
        ({"request": {"messages": [Q]}, "response": {"message": A, "done_reason": "stop"}}, [Q, A]),
        ({"modelInput": BEDROCK, "modelOutput": {"output": {"message": A}, "stopReason": "end_turn"}}, [S, Q, A]),
        (
            {"input": {"inputBodyJson": {"system": "s", "messages": [Q]}}, "output": {"outputBodyJson": A}},
            [S, Q, A],
        ),
        (
            {
                "request": {
                    "systemInstruction": {"parts": [{"text": "s"}]},
                    "contents": [{"role": "user", "parts": [{"text": "q"}]}],
                },
                "response": {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
            },
            [S, Q, A],
        ),
        (
            {
                "request": {"instructions": "s", "input": "q"},
                "response": {
                    "output": [
                        {"type": "reasoning", "summary": []},
                        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
                    ]
                },
            },
            [S, Q, A],
        ),
    ],
)
def test_a_request_and_its_answer_are_one_conversation(row: dict[str, Any], turns: list[dict[str, str]]) -> None:
    assert list(read(row).messages) == turns


def test_items_of_a_request_bring_their_calls_results_and_tools() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "q"}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"q": "b"}'},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ]
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]
    example = read(
        {"request": {"input": items, "tools": [{"type": "function", **TOOL}]}, "response": {"output": output}}
    )
    assert [turn["role"] for turn in example.messages] == ["user", "assistant", "tool", "assistant"]
    assert example.messages[1]["tool_calls"][0]["function"]["name"] == "look"
    assert example.tools[0]["function"]["name"] == "look"


@pytest.mark.parametrize(
    "response",
    [
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"}]},
        {"choices": [{"message": A, "finish_reason": "length"}]},
        {**A, "stop_reason": "max_tokens"},
        {"output": [{"type": "message", **A}], "incomplete_details": {"reason": "max_output_tokens"}},
    ],
)
def test_an_answer_that_was_cut_is_left_out(response: dict[str, Any]) -> None:
    with pytest.raises(RowExcludedError, match="cut"):
        read({"request": {"messages": [Q]}, "response": response})


def test_what_an_earlier_response_held_is_missing() -> None:
    row = {
        "request": {"input": "q", "previous_response_id": "r"},
        "response": {"output": [{"type": "message", **A}]},
    }
    with pytest.raises(RowError, match="earlier response"):
        read(row)
