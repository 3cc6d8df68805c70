"""Calls and tools in every spelling, and back out of the text by the parsers of serving engines."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.examples import templates
from tests.trainers.examples.templates import marker_of
from trainers.examples.example import Example, RowError
from trainers.examples.parsers import FORMS, parser_of
from trainers.examples.toolcalls import call_faults, read_tools, tidied, with_arguments, with_ids

CALL = {"name": "find", "arguments": {"item": "lamp"}}
READ = [{"type": "function", "function": CALL}]


@pytest.mark.parametrize(
    "arguments",
    [
        {"item": "lamp"},
        '{"item": "lamp"}',
        json.dumps('{"item": "lamp"}'),
        json.dumps(json.dumps('{"item": "lamp"}')),
    ],
)
def test_arguments_are_an_object_however_often_they_were_encoded(arguments: Any) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": arguments}}
    (message,) = tidied([{"role": "assistant", "content": "", "tool_calls": [call]}], None)
    assert message["tool_calls"] == READ


@pytest.mark.parametrize("arguments", ["{oops", "[1]", 3, [1]])
def test_arguments_that_are_no_object_break_their_row_alone(arguments: Any) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": arguments}}
    with pytest.raises(RowError, match="arguments of the call of find"):
        tidied([{"role": "assistant", "content": "", "tool_calls": [call]}], None)


def test_tools_are_wrapped_and_freed_of_what_a_column_store_filled_in() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "enum": None}, "b": None}, "required": None}
    (tool,) = read_tools(json.dumps([{"name": "f", "parameters": schema, "strict": None}])) or []
    assert tool == {
        "type": "function",
        "function": {
            "name": "f",
            "description": "",
            "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
    }


def test_nulls_stay_where_the_schema_allows_them() -> None:
    tools = read_tools(
        {
            "name": "f",
            "parameters": {
                "type": "object",
                "properties": {
                    "may": {"type": ["string", "null"]},
                    "must": {"type": "string"},
                    "can": {"type": "string"},
                },
                "required": ["must"],
            },
        }
    )
    call = {"type": "function", "function": {"name": "f", "arguments": {"may": None, "must": None, "can": None}}}
    (message,) = tidied([{"role": "assistant", "content": "", "tool_calls": [call]}], tools)
    assert message["tool_calls"][0]["function"]["arguments"] == {"may": None, "must": None}


def test_a_schema_that_is_none_is_told_and_stops_nothing() -> None:
    broken = [{"type": "function", "function": {"name": "find", "parameters": {"type": "nonsense"}}}]
    example = Example(({"role": "assistant", "content": "", "tool_calls": READ},), tools=broken)
    assert [fault.code for fault in call_faults(example)] == ["invalid-call"]


@pytest.mark.skipif(sys.platform != "linux", reason="work is bounded by a timer of Linux")
def test_a_pattern_without_an_end_is_told_and_not_tried_on_every_row() -> None:
    schema = {"type": "object", "properties": {"item": {"pattern": "^(a+)+$"}}}
    call = {"type": "function", "function": {"name": "find", "arguments": {"item": "a" * 60 + "!"}}}
    tools = [{"type": "function", "function": {"name": "find", "parameters": schema}}]
    example = Example(({"role": "assistant", "content": "", "tool_calls": [call]},), tools=tools)
    for _ in range(100):
        (fault,) = call_faults(example)
        assert fault.what.endswith("the declared schema does not come to an end within 0.5 s")


def test_a_reference_of_a_schema_is_not_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        schema = {"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"}
        tools = [{"type": "function", "function": {"name": "find", "parameters": schema}}]
        (fault,) = call_faults(Example(({"role": "assistant", "content": "", "tool_calls": READ},), tools=tools))
        assert "the declared schema cannot be used" in fault.what
        with pytest.raises(TimeoutError):
            server.accept()


def test_ids_join_results_to_calls_in_the_form_that_a_template_takes() -> None:
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [{**READ[0], "id": "x"}, {**READ[0], "id": "y"}]},
        {"role": "tool", "content": "2", "tool_call_id": "y"},
        {"role": "tool", "content": "1"},
    ]
    nine = with_ids(messages, "nine")
    assert [call["id"] for call in nine[0]["tool_calls"]] == ["call00000", "call00001"]
    assert [one["tool_call_id"] for one in nine[1:]] == ["call00001", "call00000"]
    named = with_ids(messages, "named")
    assert named[0]["tool_calls"][1]["id"] == "functions.find:1"
    assert with_ids(messages, "any") == messages


def test_arguments_become_text_once() -> None:
    message = {"role": "assistant", "content": "", "tool_calls": READ}
    text = with_arguments(message, "text")["tool_calls"][0]["function"]["arguments"]
    assert json.loads(text) == {"item": "lamp"}
    assert with_arguments(with_arguments(message, "text"), "text") == with_arguments(message, "text")


EXPECTED = {
    "qwen2_5": "hermes",
    "qwen3": "hermes",
    "qwen3_6": "qwen3_coder",
    "nemotron_3_nano": "qwen3_coder",
    "glm4moe": "glm45",
    "gptoss": "openai",
    "gemma4_v5": "gemma4",
    "lfm2_v2": "lfm2",
    "llama3_1": "llama3_json",
    "muse_glimmer": "muse_glimmer",
    "mistral_v3_tools": "mistral",
    "kimi_two_loops": "kimi_k2",
    "granite_documents": "granite",
    "internlm_macro": "internlm",
    "exaone_by_index": "hermes",
    "deepseek_v31_by_pairs": "deepseek_v31",
}
PATHS = {path.stem: path for path in (*templates.base_templates(), *templates.family_templates())}
SIMPLE = st.one_of(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12), st.integers(-99, 99), st.booleans()
)


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(sorted(EXPECTED)), arguments=st.dictionaries(st.sampled_from("abc"), SIMPLE))
def test_a_call_that_is_trained_is_found_by_the_parser_of_its_family(name: str, arguments: dict[str, Any]) -> None:
    call = [{"type": "function", "id": "c0", "function": {"name": "find", "arguments": arguments}}]
    messages = (
        templates.user("Where?"),
        templates.answer("", tool_calls=call),
        templates.result("there"),
        templates.answer("There."),
    )
    tools = [{"name": "find", "parameters": {"type": "object", "properties": {}}}]
    rendered = marker_of(PATHS[name]).mark(Example(messages, tools=tools))
    form = parser_of(rendered.words(rendered.answers[0]), rendered.answers[0].calls)
    assert form is not None
    assert form.parser == EXPECTED[name]


@given(st.text(st.sampled_from("<tool_cal>/[]{}\"':,name \n|fx1=()｜"), max_size=60))
def test_no_text_makes_a_parser_fail(text: str) -> None:
    assert parser_of(text, READ) is None or "find" in text


@pytest.mark.parametrize(
    "call", ['{"name": "find"}', '{"name": "find", "arguments": [1]}', '{"arguments": {"x": 1}}']
)
def test_a_call_without_name_or_arguments_is_none_that_was_meant(call: str) -> None:
    assert parser_of(f"<|action_start|><|plugin|>{call}<|action_end|>", READ) is None


def test_bare_json_is_no_call_to_the_parser_of_hermes() -> None:
    hermes = next(form for form in FORMS if form.parser == "hermes")
    assert list(hermes.find(json.dumps(CALL))) == []
    assert parser_of("I found the lamp.", READ) is None
