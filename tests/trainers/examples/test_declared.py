"""Tools are found wherever a row declares them, and every dialect of them becomes JSON schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainers.examples.conversation import conversation
from trainers.examples.declared import in_words, tools_of
from trainers.examples.example import RowError

FIND = {"name": "find", "parameters": {"type": "object", "properties": {"item": {"type": "string"}}}}
DECLARED = [{"type": "function", "function": FIND}]
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    "beside",
    [
        {"tools": [FIND]},
        {"tools": json.dumps(json.dumps(DECLARED))},
        {"functions": FIND},
        {"toolconfig": {"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": FIND["parameters"]}}}]}},
        {"toolconfig": {"functionCallingConfig": {"mode": "ANY"}}, "tools": [{"functionDeclarations": [FIND]}]},
        {"chat_template_kwargs": {"xml_tools": [json.dumps(FIND)], "python_tools": [], "enable_thinking": False}},
        {"tools": [{"name": "find", "parameters": {"type": "dict", "properties": {"item": {"type": "str"}}}}]},
    ],
    ids=" ".join,
)
def test_wherever_a_row_keeps_its_tools_they_are_declared(beside: dict[str, Any]) -> None:
    assert conversation(TURNS, {"messages": TURNS, **beside}).tools == DECLARED


def test_how_calls_are_to_be_made_is_no_tool() -> None:
    assert tools_of({"toolconfig": {"functionCallingConfig": {"mode": "ANY"}}}) is None
    assert tools_of({}) is None
    with pytest.raises(RowError, match="not JSON"):
        tools_of({"tools": "find the lamp"})


def test_parameters_by_their_names_alone_become_a_schema() -> None:
    flat = {
        "city": {"type": "str", "description": "where"},
        "days": {"type": "int, optional", "description": "how long"},
        "tags": {"type": "List[str]", "default": ["a"]},
        "kind": {"type": "Union[str, int]"},
    }
    ((tool),) = tools_of({"tools": [{"name": "weather", "parameters": flat}]})
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where"},
            "days": {"type": "integer", "description": "how long"},
            "tags": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
            "kind": {},
        },
        "required": ["city", "kind"],
    }


def test_a_parameter_that_says_itself_whether_it_is_required() -> None:
    place = {"type": "object", "properties": {"x": {"type": "int"}}, "required": ["x"]}
    flat = {
        "city": {"type": "str", "required": True},
        "days": {"type": "int", "required": False},
        "place": place,
    }
    ((tool),) = tools_of({"tools": [{"name": "weather", "parameters": flat}]})
    parameters = tool["function"]["parameters"]
    assert parameters["required"] == ["city", "place"]
    assert parameters["properties"]["city"] == {"type": "string"}
    assert parameters["properties"]["days"] == {"type": "integer"}
    assert parameters["properties"]["place"]["required"] == ["x"]


def test_a_schema_that_is_one_stays_as_it_is() -> None:
    schema = {"type": "object", "properties": {"type": {"enum": ["a"]}, "n": {"type": ["integer", "null"]}}}
    ((tool),) = tools_of({"tools": [{"name": "f", "parameters": schema}]})
    assert tool["function"]["parameters"] == schema


def test_tools_among_the_words_of_a_system_message() -> None:
    told = f"Use these functions:\n{json.dumps([FIND])}\nBe kind."
    assert in_words(told) == (DECLARED, "Use these functions:\n\nBe kind.")
    assert in_words(f"<tools>{json.dumps(FIND)}</tools> Write <tool_call> around calls.") == (DECLARED, "")
    assert in_words(f"{json.dumps([FIND])} in the format of [func1(params_name=params_value), func2()]") == (
        DECLARED,
        "",
    )
    for harmless in ('Answer as [{"name": "Ann"}].', "Tools are [hammer, saw].", '[{"name": ', "<tools>none</tools>"):
        assert in_words(harmless) is None
