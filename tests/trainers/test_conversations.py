from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.conversations import ROLES, RowError, format_of, normalise, require_format
from trainers.errors import PlanRefused

HELLO = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"messages": HELLO}, "messages"),
        ({"conversations": HELLO}, "messages"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, "sharegpt"),
        ({"messages": [{"from": "user", "value": "Hi"}, {"from": "model", "value": "Hello"}]}, "sharegpt"),
        ({"prompt": "Hi", "completion": "Hello"}, "prompt_completion"),
        ({"prompt": HELLO[:1], "completion": HELLO[1:]}, "prompt_completion"),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, "alpaca"),
        ({"instruction": "Hi", "response": "Hello"}, "alpaca"),
    ],
)
def test_every_chat_format_means_the_same_conversation(row: dict[str, Any], kind: str) -> None:
    assert format_of(row) == kind
    assert normalise(row, format_of(row)) == {"messages": HELLO}


def test_plain_text_stays_text() -> None:
    assert format_of({"text": "Once"}) == "text"
    assert normalise({"text": "Once"}, "text") == {"text": "Once"}


def test_an_answer_that_is_json_text_is_not_taken_for_structure() -> None:
    row = {"prompt": "As a form", "completion": '{"gpu": "RTX 4090"}'}
    assert normalise(row, "prompt_completion")["messages"][1]["content"] == '{"gpu": "RTX 4090"}'


def test_system_prompts_and_inputs_are_kept() -> None:
    row = {"system": "Be brief", "instruction": "Add", "input": "1 2", "output": "3"}
    messages = normalise(row, "alpaca")["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"] == "Add\n\n1 2"
    shared = {"system": "Be brief", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    assert normalise(shared, "sharegpt")["messages"][0] == {"role": "system", "content": "Be brief"}


def test_tool_calls_arrive_as_objects_however_they_were_written() -> None:
    call = {"function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    row = {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "observation", "content": "sunny"},
            {"role": "assistant", "content": "Sunny."},
        ],
        "tools": '[{"type": "function"}]',
    }
    found = normalise(row, "messages")
    assert found["tools"] == [{"type": "function"}]
    assert found["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}
    assert found["messages"][2]["role"] == "tool"


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ({"messages": []}, "messages", "no messages"),
        ({"messages": None}, "messages", "no messages"),
        ({"messages": ["Hi"]}, "messages", "not an object"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages", "unknown role 'alien'"),
        ({"messages": HELLO[:1]}, "messages", "no assistant message"),
        ({"messages": [HELLO[0], {"role": "assistant", "content": " "}]}, "messages", "no assistant message"),
        ({"messages": [{"role": "user"}, HELLO[1]]}, "messages", "has no content"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}, HELLO[1]]}, "messages", "only text"),
        ({"prompt": "", "completion": "x"}, "prompt_completion", "'prompt' is empty"),
        ({"prompt": "x", "completion": None}, "prompt_completion", "'completion' is missing"),
        ({"instruction": "x", "output": " "}, "alpaca", "'output' is empty"),
        ({"text": 3}, "text", "int, not text"),
    ],
)
def test_a_broken_row_says_what_is_wrong(row: dict[str, Any], kind: Any, said: str) -> None:
    with pytest.raises(RowError, match=said):
        normalise(row, kind)


def test_unknown_columns_are_named() -> None:
    with pytest.raises(PlanRefused, match="question"):
        require_format(format_of({"question": "x"}), ["question"], "data.jsonl")


@given(st.lists(st.tuples(st.sampled_from(sorted(ROLES)), st.text(min_size=1)), min_size=1, max_size=6))
def test_whatever_the_speakers_are_called_only_four_roles_come_out(turns: list[tuple[str, str]]) -> None:
    row = {"conversations": [{"from": said, "value": text} for said, text in turns] + [{"from": "gpt", "value": "x"}]}
    messages = normalise(row, "sharegpt")["messages"]
    assert {message["role"] for message in messages} <= {"system", "user", "assistant", "tool"}
    assert [message["content"] for message in messages] == [text for _, text in turns] + ["x"]
