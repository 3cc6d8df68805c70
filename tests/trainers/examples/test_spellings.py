"""Conversations as other programs write them: each is read as the messages that it means, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainers.examples.example import RowError, RowExcludedError
from trainers.examples.files import read_file
from trainers.examples.reader import reader_for
from trainers.examples.rows import Row
from trainers.examples.turns import is_excluded

ASKED, ANSWERED = {"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}
CALL = {"type": "function", "function": {"name": "find", "arguments": {"item": "lamp"}}}
CALLING, RETURNED = {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "3"}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}


def read(row: dict[str, Any]) -> Any:
    return reader_for([Row(1, row)], "a.jsonl").example(Row(1, row))


def with_id(call: str) -> list[dict[str, Any]]:
    """A call and its result, joined by this id."""
    calling = {**CALLING, "tool_calls": [{**CALL, "id": call}]}
    return [ASKED, calling, {**RETURNED, "tool_call_id": call}, ANSWERED]


SPELLINGS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "LangChain": (
        {"messages": [{"type": "human", "content": "Where?"}, {"type": "ai", "content": "Here."}]},
        [ASKED, ANSWERED],
    ),
    "LangChain with data": (
        {
            "messages": [
                {"type": "human", "data": {"content": "Where?"}},
                {"type": "ai", "data": {"content": "Here."}},
            ]
        },
        [ASKED, ANSWERED],
    ),
    "LangChain as constructors": (
        {
            "messages": [
                {"lc": 1, "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Where?"}},
                {"lc": 1, "id": ["langchain", "AIMessage"], "kwargs": {"content": "Here."}},
            ]
        },
        [ASKED, ANSWERED],
    ),
    "LangChain with a call": (
        {
            "messages": [
                {"type": "human", "content": "Where?"},
                {"type": "ai", "content": "", "tool_calls": [{"name": "find", "args": {"item": "lamp"}, "id": "a"}]},
                {"type": "tool", "content": "3", "tool_call_id": "a"},
                {"type": "ai", "content": "Here."},
            ]
        },
        with_id("a"),
    ),
    "Gemini": (
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Where?"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"item": "lamp"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"shelf": 3}}}]},
                {"role": "model", "parts": [{"text": "Here."}]},
            ]
        },
        [ASKED, CALLING, {**RETURNED, "content": '{"shelf": 3}'}, ANSWERED],
    ),
    "Bedrock": (
        {
            "messages": [
                {"role": "user", "content": [{"text": "Where?"}]},
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "a", "name": "find", "input": {"item": "lamp"}}}],
                },
                {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "3"}]}}]},
                {"role": "assistant", "content": [{"text": "Here."}]},
            ]
        },
        with_id("a"),
    ),
    "two results in one turn": (
        {
            "messages": [
                ASKED,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": name, "name": "find", "input": {"item": "lamp"}} for name in "ab"
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        *({"type": "tool_result", "tool_use_id": name, "content": "3"} for name in "ab"),
                        {"type": "text", "text": "Where?"},
                    ],
                },
                ANSWERED,
            ]
        },
        [
            ASKED,
            {**CALLING, "tool_calls": [{**CALL, "id": "a"}, {**CALL, "id": "b"}]},
            {**RETURNED, "tool_call_id": "a"},
            {**RETURNED, "tool_call_id": "b"},
            ASKED,
            ANSWERED,
        ],
    ),
    "calls as Python in a key": (
        {"messages": [ASKED, {"role": "assistant", "content": None, "function_calls": 'find(item="lamp")'}]},
        [ASKED, CALLING],
    ),
    "Responses": (
        {
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Where?"}]}],
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Here."}]},
            ],
        },
        [ASKED, {**ANSWERED, "reasoning_content": "hm"}],
    ),
    "Responses with a call": (
        {
            "input": [ASKED],
            "output": [{"type": "function_call", "name": "find", "arguments": '{"item": "lamp"}', "call_id": "a"}],
        },
        with_id("a")[:2],
    ),
    "Cohere": (
        {"chat_history": [{"role": "USER", "message": "Where?"}], "message": "Where?", "response": "Here."},
        [ASKED, ASKED, ANSWERED],
    ),
    "Claude's export": (
        {"chat_messages": [{"sender": "human", "text": "Where?"}, {"sender": "assistant", "text": "Here."}]},
        [ASKED, ANSWERED],
    ),
    "Open WebUI": ({"chat": {"models": ["x"], "messages": [ASKED, ANSWERED]}}, [ASKED, ANSWERED]),
    "true and false": (
        {"conversation": [{"message": "Where?", "is_human": True}, {"message": "Here.", "is_human": False}]},
        [ASKED, ANSWERED],
    ),
    "two answers with a winner": (
        {"conversation_a": [ASKED, ASKED], "conversation_b": [ASKED, ANSWERED], "winner": "model_b"},
        [ASKED, ANSWERED],
    ),
    "two answers with a preference": (
        {"context": [ASKED], "response1": "Here.", "response2": "There.", "overall_preference": -2},
        [ASKED, ANSWERED],
    ),
    "two answers with a label": (
        {"history": "Where?", "human_ref_A": "There.", "human_ref_B": "Here.", "labels": 0},
        [ASKED, ANSWERED],
    ),
    "two lists of answers with a winner": (
        {
            "prompt": '["Where?"]',
            "response_a": '["There."]',
            "response_b": '["Here."]',
            "winner_model_a": 0,
            "winner_model_b": 1,
            "winner_tie": 0,
        },
        [ASKED, ANSWERED],
    ),
    "input, reasoning and content": (
        {"input": "Where?", "reasoning_content": "Hm.", "content": "Here.", "prompt": ""},
        [ASKED, {**ANSWERED, "reasoning_content": "Hm."}],
    ),
    "a thought that repeats the words": (
        {"messages": [ASKED, {**ANSWERED, "thought": "Here."}]},
        [ASKED, ANSWERED],
    ),
    "a switch in the column of reasoning": (
        {"prompt": "Where?", "reasoning": "on", "response": "Here."},
        [ASKED, ANSWERED],
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_each_is_read_as_the_messages_that_it_means(name: str) -> None:
    row, messages = SPELLINGS[name]
    assert list(read(row).messages) == messages


def test_a_tie_of_two_answers_is_left_out() -> None:
    with pytest.raises(RowExcludedError):
        read({**SPELLINGS["two lists of answers with a winner"][0], "winner_model_b": 0, "winner_tie": 1})


@pytest.mark.parametrize(
    "tools",
    [
        [{"name": "find", "input_schema": {"type": "object", "properties": {}}}],
        [{"functionDeclarations": [{"name": "find", "parameters": {"type": "OBJECT", "properties": {}}}]}],
        [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object", "properties": {}}}}}],
    ],
)
def test_tools_of_other_services_have_their_parameters(tools: Any) -> None:
    assert read({"messages": [ASKED, ANSWERED], "tools": tools}).tools == [TOOL]


def test_tools_that_a_system_message_declares_are_those_of_the_row() -> None:
    system = {"role": "system", "content": "Be kind.", "functions": json.dumps([TOOL])}
    assert read({"messages": [system, ASKED, ANSWERED]}).tools == [TOOL]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [ASKED, {"role": "assistant", "content": ["a", "b"]}]}, "a list of 2 texts"),
        ({"question": "q", "answers": {"text": [], "answer_start": []}}, "a question without an answer"),
        ({"messages": [ASKED, {"role": "assistant", "content": None, "function_calls": "find("}]}, "cannot be read"),
    ],
)
def test_what_may_mean_two_things_is_refused(row: dict[str, Any], why: str) -> None:
    with pytest.raises(RowError, match=why):
        read(row)


def test_a_tie_is_left_out() -> None:
    with pytest.raises(RowExcludedError, match="neither"):
        read({"prompt": "q", "response_a": "a", "response_b": "b", "winner": "tie"})


def test_answers_that_were_cut_are_not_learnt() -> None:
    logged = {
        "request": {"messages": [ASKED]},
        "response": {"choices": [{"message": ANSWERED, "finish_reason": "length"}]},
    }
    with pytest.raises(RowExcludedError, match="cut"):
        read(logged)
    assert is_excluded({**ANSWERED, "stop_reason": "max_tokens"})
    assert not is_excluded({**ANSWERED, "stop_reason": "end_turn"})


@pytest.mark.parametrize("write", [repr, lambda row: json.dumps(json.dumps(row))], ids=["Python", "JSON in JSON"])
def test_rows_printed_by_python_or_encoded_twice_are_read_and_said(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(write({"prompt": f"it's {n}", "completion": None}) + "\n" for n in range(3)))
    found = list(read_file(path))
    assert [row.value for row in found] == [{"prompt": f"it's {n}", "completion": None} for n in range(3)]
    assert found[0].note is not None
