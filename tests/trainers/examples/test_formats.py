"""What rows mean: every way to write a conversation gives the same messages, and a broken row its reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.errors import ExamplesError
from trainers.examples.example import Example, RowError
from trainers.examples.layouts import BY_NAME, layout_of
from trainers.examples.reader import Reader, reader_for
from trainers.examples.rows import Row
from trainers.examples.turns import CALLING_ROLES, ROLES


def read(row: dict[str, Any]) -> Example:
    return reader_for([Row(1, row)], "rows").read(row)


def name_of(row: dict[str, Any]) -> str | None:
    layout = layout_of(row)
    return layout.name if layout else None


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
    assert name_of(row) == kind
    assert list(read(row).messages) == HELLO


def test_plain_text_stays_text() -> None:
    assert name_of({"text": "Once"}) == "text"
    assert read({"text": "Once"}) == Example(text="Once")


def test_an_answer_that_is_json_text_is_not_taken_for_structure() -> None:
    row = {"prompt": "As a form", "completion": '{"gpu": "RTX 4090"}'}
    assert read(row).messages[1]["content"] == '{"gpu": "RTX 4090"}'


def test_system_prompts_and_inputs_are_kept() -> None:
    row = {"system": "Be brief", "instruction": "Add", "input": "1 2", "output": "3"}
    messages = read(row).messages
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"] == "Add\n\n1 2"
    shared = {"system": "Be brief", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    assert read(shared).messages[0] == {"role": "system", "content": "Be brief"}


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
    found = read(row)
    assert found.tools == [{"type": "function"}]
    assert found.messages[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}
    assert found.messages[2]["role"] == "tool"


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ({"messages": []}, "messages", "no messages"),
        ({"messages": None}, "messages", "no messages"),
        ({"messages": [3]}, "messages", "not an object"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages", "unknown role 'alien'"),
        ({"messages": HELLO[:1]}, "messages", "no assistant message"),
        (
            {"messages": [HELLO[0], {"role": "assistant", "content": " "}]},
            "messages",
            "every assistant message is empty",
        ),
        ({"messages": [{"role": "user"}, HELLO[1]]}, "messages", "has no content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "audio"}]}, HELLO[1]]},
            "messages",
            "sounds and films cannot be trained",
        ),
        ({"prompt": "", "completion": "x"}, "prompt_completion", "'prompt' is empty"),
        ({"prompt": "x", "completion": None}, "prompt_completion", "'completion' is missing"),
        ({"instruction": "x", "output": " "}, "alpaca", "'output' is empty"),
        ({"text": None}, "text", "missing, not text"),
    ],
)
def test_a_broken_row_says_what_is_wrong(row: dict[str, Any], kind: Any, said: str) -> None:
    with pytest.raises(RowError, match=said):
        Reader(BY_NAME[kind]).read(row)


def test_unknown_columns_are_named() -> None:
    with pytest.raises(ExamplesError, match="are wish"):
        reader_for([Row(1, {"wish": "x"})], "data.jsonl")


@pytest.mark.parametrize("flag", [{"weight": 0}, {"train": False}, {"loss": 0}, {"loss_weight": 0.0}])
def test_an_answer_that_the_data_excludes_is_not_learnt(flag: dict[str, Any]) -> None:
    found = read({"messages": [*HELLO, HELLO[0], {**HELLO[1], **flag}]})
    assert found.unlearnt == {3}


def test_ids_names_and_reasoning_of_a_turn_are_kept() -> None:
    call = {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    row = {
        "messages": [
            HELLO[0],
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call]},
            {"role": "tool", "content": "sunny", "tool_call_id": "c1", "name": "weather"},
            HELLO[1],
        ]
    }
    _, asked, told, _ = read(row).messages
    assert (asked["reasoning_content"], asked["tool_calls"][0]["id"]) == ("hm", "c1")
    assert (told["tool_call_id"], told["name"]) == ("c1", "weather")


@pytest.mark.parametrize("calls", [1, "[" * 3000, [[]], {"a": 1}, ["x"]])
def test_calls_that_are_none_break_their_row_only(calls: Any) -> None:
    with pytest.raises(RowError):
        read({"messages": [HELLO[0], {"role": "assistant", "content": "x", "tool_calls": calls}]})


def test_arguments_nested_beyond_any_template_break_their_row() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"in": deep}
    calls = [{"function": {"name": "f", "arguments": deep}}]
    with pytest.raises(RowError, match="too deeply"):
        read({"messages": [HELLO[0], {"role": "assistant", "content": "x", "tool_calls": calls}]})


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(set(ROLES) - CALLING_ROLES)), st.text(min_size=1)), min_size=1, max_size=6
    )
)
def test_whatever_the_speakers_are_called_only_four_roles_come_out(turns: list[tuple[str, str]]) -> None:
    row = {"conversations": [{"from": said, "value": text} for said, text in turns] + [{"from": "gpt", "value": "x"}]}
    messages = read(row).messages
    assert {message["role"] for message in messages} <= {"system", "user", "assistant", "tool"}
    assert [message["content"] for message in messages] == [text for _, text in turns] + ["x"]
