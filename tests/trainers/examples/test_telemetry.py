"""Spans of OpenTelemetry, Traceloop and OpenInference are the calls of a model that they tell of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainers.examples.example import RowError, RowExcludedError
from trainers.examples.telemetry import is_span, read_span, spans_of

Q, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
TRACELOOP = {
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "q",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "a",
    "gen_ai.completion.0.finish_reason": "stop",
}
ITEMS = [{"key": key, "value": {"stringValue": value}} for key, value in TRACELOOP.items()]
PARTS = [{"role": "user", "parts": [{"type": "text", "content": "q"}]}]
OPENINFERENCE = {
    "llm": {
        "input_messages": [
            {"message": {"role": "user", "contents": [{"message_content": {"type": "text", "text": "q"}}]}}
        ],
        "output_messages": [{"message": A}],
    }
}


@pytest.mark.parametrize(
    "row",
    [
        {"attributes": TRACELOOP},
        {"attributes": ITEMS, "traceId": "t"},
        {"attributes": json.dumps(OPENINFERENCE)},
        {f"attributes.{key}": value for key, value in TRACELOOP.items()},
        {"attributes": {"gen_ai.input.messages": json.dumps(PARTS), "gen_ai.output.messages": [A, {"role": "b"}]}},
        {
            "attributes": {
                "llm.input_messages": [{"message.role": "user", "message.content": "q"}],
                "llm.output_messages": [{"message.role": "assistant", "message.content": "a"}],
            }
        },
    ],
)
def test_every_convention_gives_the_same_turns(row: dict[str, Any]) -> None:
    assert is_span(row)
    assert [*read_span(row).messages] == [Q, A]


def test_system_tools_and_calls_are_read() -> None:
    call = {"tool_call.function.name": "look", "tool_call.function.arguments": '{"q": "b"}'}
    schema = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    example = read_span(
        {
            "attributes": {
                "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "s"}]),
                "llm.input_messages": [{"message": Q}],
                "llm.output_messages": [{"message": {"role": "assistant", "tool_calls": [call]}}],
                "llm.tools": [{"tool": {"json_schema": json.dumps(schema)}}],
            }
        }
    )
    assert [turn["content"] for turn in example.messages] == ["s", "q", ""]
    assert example.messages[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": {"q": "b"}}
    assert example.tools == [schema]


def test_other_spans_and_cut_answers_are_left_out() -> None:
    with pytest.raises(RowExcludedError, match="no call"):
        read_span({"attributes": {"http.method": "GET"}})
    with pytest.raises(RowExcludedError, match="cut"):
        read_span({"attributes": {**TRACELOOP, "gen_ai.completion.0.finish_reason": "length"}})
    with pytest.raises(RowError, match="without attributes"):
        read_span({"name": "n"})


def test_a_document_of_otlp_is_its_spans() -> None:
    whole = {"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": ITEMS}, {"name": "n"}]}]}]}
    assert spans_of(whole) == [{"attributes": ITEMS}, {"name": "n"}]
    assert spans_of({"rows": [{}]}) == []


def test_a_place_of_thousands_of_digits_is_no_place_in_a_list() -> None:
    told = {
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "q",
        f"gen_ai.completion.{'1' * 5000}.content": "a",
    }
    with pytest.raises(RowExcludedError, match="no call"):
        read_span({"attributes": told})
