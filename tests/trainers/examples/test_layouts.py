"""Every layout of rows that people publish is found by looking, and means what its author meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainers.examples.example import RowError, RowExcludedError
from trainers.examples.layouts import LAYOUTS
from trainers.examples.reader import Reader, reader_for
from trainers.examples.rows import Row

Q, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
ABOUT = {"role": "user", "content": "q\n\nc"}
EARLIER = [{"role": "user", "content": "q0"}, {"role": "assistant", "content": "a0"}]
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
SYSTEM = {"role": "system", "content": "s"}
STEPS = {"role": "assistant", "content": "Step 1: a"}
LANGCHAIN = {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "q"}}


def said(role: str, text: str) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}


TREE = {
    "root": {"message": None, "parent": None, "children": ["q"]},
    "q": {"message": said("user", "q"), "parent": "root", "children": ["a1", "a2"]},
    "a1": {"message": said("assistant", "asked for again"), "parent": "q", "children": []},
    "a2": {"message": said("assistant", "a"), "parent": "q", "children": []},
}
NESTED = {
    "text": "q",
    "replies": [
        {"role": "assistant", "text": "worse", "rank": 1, "replies": []},
        {"role": "assistant", "text": "a", "rank": 0, "replies": []},
    ],
}


CHOSEN = [{"role": "user", "content": "q\n\nA. x\nB. y"}, {"role": "assistant", "content": "B. y"}]
MULTIPLE_CHOICE: list[dict[str, Any]] = [
    {"id": "M", "question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
    {"question": "q", "subject": "s", "choices": ["x", "y"], "answer": 1},
    {"question": "q", "options": {"A": "x", "B": "y"}, "answer": "y", "answer_idx": "B"},
    {"question": "q", "options": ["A)x", "B)y"], "correct": "B"},
    {"ctx": "q", "endings": ["x", "y"], "label": "1", "ind": 4},
    {"question_stem": "q", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}], "answerKey": "B"},
    {"question": "q", "A": "x", "B": "y", "answer": "(b)"},
    {"question": "q", "opa": "x", "opb": "y", "cop": 1},
    {"goal": "q", "sol1": "x", "sol2": "y", "label": 1},
    {"sentence": "q", "option1": "x", "option2": "y", "answer": "2"},
]


def reader(row: dict[str, Any]) -> Reader:
    return reader_for([Row(1, row)], "rows")


BEDROCK = {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "r"}}}, {"text": "a"}]}
GEMINI = {"role": "model", "parts": [{"text": "r", "thought": True}, {"text": "a"}]}
MAGISTRAL = {
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"type": "text", "text": "a"}],
}

ROWS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("messages", {"messages": [Q, A]}, [Q, A]),
    ("messages", {"messages": [SYSTEM, Q, A], "id": 3}, [SYSTEM, Q, A]),
    ("messages", {"conversations": [{"messages": [Q, A]}], "system": "s"}, [SYSTEM, Q, A]),
    ("messages", {"messages": "[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]"}, [Q, A]),
    ("messages", {"messages": {"role": ["user", "assistant"], "content": ["q", "a"]}}, [Q, A]),
    ("messages", {"messages": [{"role": "用户", "content": "q"}, {"role": "助手", "content": "a"}]}, [Q, A]),
    ("messages", {"messages": [{"role": "Human", "content": "q"}, {"role": "AI", "content": "a"}]}, [Q, A]),
    ("messages", {"chat": [{"speaker": "user", "text": "q"}, {"speaker": "bot", "text": "a"}]}, [Q, A]),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}]}, A]}, [Q, A]),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "q"}]}, A]}, [Q, A]),
    ("messages", {"messages": [{"role": "user", "content": ["q"]}, A]}, [Q, A]),
    ("sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, [Q, A]),
    ("sharegpt", {"conversation": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, [Q, A]),
    ("turn_pairs", {"conversation": [{"human": "q", "assistant": "a"}]}, [Q, A]),
    ("baize", {"topic": "t", "input": "s\n[|Human|] q\n[|AI|] a\n[|Human|] "}, [SYSTEM, Q, A]),
    ("judged_steps", {"input": "q Step 1: a ки", "label": "q Step 1: a +", "task": "x"}, [Q, STEPS]),
    ("judged_steps", {"prompt": "q", "completions": ["Step 1: a"], "labels": [True]}, [Q, STEPS]),
    ("traced_run", {"inputs": {"messages": [Q]}, "outputs": {"choices": [{"message": A}]}}, [Q, A]),
    ("traced_run", {"inputs": {"question": "q"}, "outputs": {"answer": "a"}, "metadata": {}}, [Q, A]),
    ("traced_run", {"inputs": {"messages": [[LANGCHAIN]]}, "outputs": {"generations": [[{"text": "a"}]]}}, [Q, A]),
    ("traced_run", {"inputs": {"messages": [Q]}, "outputs": {"messages": [Q, A]}}, [Q, A]),
    ("turn_pairs", {"conversation": [{"system": "s", "input": "q", "output": "a"}]}, [SYSTEM, Q, A]),
    ("turn_pairs", {"conversation": [{"input": "", "output": "a"}]}, [A]),
    ("turn_pairs", {"dialog": ["q", "a"]}, [Q, A]),
    ("turn_pairs", {"dialogues": [["q", "a"]]}, [Q, A]),
    ("preferred", {"prompt": "q", "chosen": "a", "rejected": "b"}, [Q, A]),
    ("preferred", {"prompt": "q", "chosen": [Q, A], "rejected": [Q, {**A, "content": "b"}]}, [Q, A]),
    ("preferred", {"question": "q", "chosen": A, "rejected": A}, [Q, A]),
    ("preferred", {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"}, [Q, A]),
    (
        "preferred",
        {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"}, "rejected": {}},
        [Q, A],
    ),
    ("judged", {"messages": [Q, A], "label": True}, [Q, A]),
    ("judged", {"messages": [Q, A], "label": 1}, [Q, A]),
    ("judged", {"prompt": "q", "completion": "a", "label": 1.0}, [Q, A]),
    ("compared", {"prompt": "q", "response_a": "b", "response_b": "a", "winner": "model_b"}, [Q, A]),
    ("chatgpt_export", {"mapping": TREE, "current_node": "a2", "title": "t"}, [Q, A]),
    ("message_tree", {"prompt": {**NESTED, "role": "prompter"}}, [Q, A]),
    ("logged_call", {"request": {"messages": [Q]}, "response": {"choices": [{"message": A}]}}, [Q, A]),
    ("logged_call", {"body": {"messages": [Q]}, "response": {"body": {"choices": [{"message": A}]}}}, [Q, A]),
    (
        "logged_call",
        {
            "request": {"system": [{"type": "text", "text": "s"}], "messages": [Q]},
            "response": {"role": "assistant", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"},
        },
        [SYSTEM, Q, A],
    ),
    (
        "traced_span",
        {"attributes": {"gen_ai.input.messages": json.dumps([Q]), "gen_ai.output.messages": json.dumps([A])}},
        [Q, A],
    ),
    (
        "cohere",
        {"preamble": "s", "chat_history": [], "message": "q", "text": "a"},
        [SYSTEM, Q, A],
    ),
    ("annotated", {"data": {"text": "q"}, "annotations": [{"result": [{"value": {"choices": ["a"]}}]}]}, [Q, A]),
    ("prodigy", {"text": "q", "label": "a", "answer": "accept", "_task_hash": 1}, [Q, A]),
    (
        "prodigy",
        {
            "text": "q",
            "options": [{"id": "B", "text": "b"}, {"id": "A", "text": "a"}],
            "accept": ["A"],
            "answer": "accept",
            "_view_id": "choice",
        },
        [Q, A],
    ),
    ("judged", {"prompt": "q", "completion": "a", "label": True}, [Q, A]),
    ("judged", {"prompt": "q", "completion": "a", "label": "true"}, [Q, A]),
    (
        "messages",
        {"contents": [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": ["a"]}]},
        [Q, A],
    ),
    ("preferred", {"input": {"messages": [Q]}, "preferred_output": [A], "non_preferred_output": []}, [Q, A]),
    ("preferred", {"messages": [Q, A], "prompt": "q", "chosen": [Q, A], "rejected": [Q, A]}, [Q, A]),
    (
        "query_calls",
        {"query": "q", "tools": '[{"name": "f"}]', "answers": '[{"name": "f", "arguments": {"x": 1}}]'},
        [
            Q,
            {
                **A,
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
            },
        ],
    ),
    ("question_answer", {"質問": "q", "回答": "a"}, [Q, A]),
    ("seed_task", {"instruction": "q", "instances": [{"input": "c", "output": "a"}]}, [ABOUT, A]),
    ("alpaca", {"instruction": "q", "input": "c", "output": "a"}, [ABOUT, A]),
    ("alpaca", {"instruction": "q", "context": "c", "response": "a", "category": "x"}, [ABOUT, A]),
    ("alpaca", {"Instruction": "q", "Output": "a"}, [Q, A]),
    (
        "alpaca",
        {"instruction": "q", "output": "a", "history": [["q0", "a0"]], "system": "s"},
        [SYSTEM, *EARLIER, Q, A],
    ),
    ("alpaca", {"instruction": "q", "input": {"n": 1}, "output": "a"}, [{**Q, "content": 'q\n\n{"n": 1}'}, A]),
    ("alpaca", {"指令": "q", "输入": "c", "输出": "a"}, [ABOUT, A]),
    ("alpaca", {"kind": "QA", "instruction": "q", "target": "a"}, [Q, A]),
    ("prompt_completion", {"prompt": "q", "completion": "a"}, [Q, A]),
    ("prompt_response", {"prompt": "q", "response": [{"user_id": "u", "value": "a", "status": "submitted"}]}, [Q, A]),
    ("question_answer", {"question": "q", "answer": {"value": "a", "aliases": ["A"]}}, [Q, A]),
    ("question_answer", {"question": "q", "query": "a", "sql": {"select": [0]}, "db_id": "d"}, [Q, A]),
    ("query_response", {"query": "q", "reference_contexts": ["c"], "reference_answer": "a"}, [ABOUT, A]),
    ("input_output", {"input": {"messages": [Q]}, "expectedOutput": A, "metadata": None}, [Q, A]),
    ("input_output", {"input": [SYSTEM, Q], "ideal": "a"}, [SYSTEM, Q, A]),
    ("input_output", {"input_text": "q", "output_text": "a"}, [Q, A]),
    (
        "messages",
        {"messages": [{"role": "user", "content": [{"text": "q"}]}, BEDROCK], "schemaVersion": "x"},
        [Q, {**A, "reasoning_content": "r"}],
    ),
    ("messages", {"messages": [Q, MAGISTRAL]}, [Q, {**A, "reasoning_content": "r"}]),
    (
        "messages",
        {"contents": [{"role": "user", "parts": [{"text": "q"}]}, GEMINI]},
        [Q, {**A, "reasoning_content": "r"}],
    ),
    (
        "messages",
        {"messages": [Q, A], "chat_template_kwargs": {"custom_instructions": "s", "enable_thinking": False}},
        [SYSTEM, Q, A],
    ),
    ("prompt_completion", {"prompt": [Q], "completion": [A]}, [Q, A]),
    ("prompt_completion", {"prompt": [Q], "completion": "a"}, [Q, A]),
    ("question_answer", {"question": "q", "answer": "a"}, [Q, A]),
    (
        "question_answer",
        {"question": "q", "context": "c", "answers": {"text": ["a"], "answer_start": [0]}},
        [ABOUT, A],
    ),
    ("question_answer", {"问题": "q", "回答": "a"}, [Q, A]),
    ("question_answer", {"question": "q", "answer": 7}, [Q, {**A, "content": "7"}]),
    ("question_answer", {"question": "q", "thinking": "t", "answer": "a"}, [Q, {**A, "reasoning_content": "t"}]),
    ("query_response", {"query": "q", "response": "a", "history": [["q0", "a0"]]}, [*EARLIER, Q, A]),
    ("prompt_response", {"prompt": "q", "response": "a"}, [Q, A]),
    ("input_output", {"kind": "Couplet", "input": "q", "target": "a"}, [Q, A]),
    ("input_output", {"input": "q", "output": "a"}, [Q, A]),
    ("source_target", {"source": "q", "target": "a"}, [Q, A]),
    ("problem_solution", {"problem": "q", "solution": "a"}, [Q, A]),
    ("user_assistant", {"user": "q", "assistant": "a"}, [Q, A]),
    ("request_reply", {"request": "q", "reply": "a"}, [Q, A]),
    ("article_summary", {"article": "q", "highlights": "a"}, [Q, A]),
    ("task_code", {"text": "q", "code": "a", "test_list": ["assert x"]}, [Q, A]),
    ("defined_task", {"definition": ["q"], "inputs": "c", "targets": "a"}, [ABOUT, A]),
    (
        "moss",
        {"meta_instruction": "s", "chat": {"turn_1": {"Human": "<|Human|>: q<eoh>\n", "MOSS": "<|MOSS|>: a<eom>\n"}}},
        [SYSTEM, Q, A],
    ),
    (
        "asked_about",
        {"story": "q", "questions": ["c", "q0"], "answers": {"input_text": ["a", "a0"], "answer_start": [0, 1]}},
        [ABOUT, A, *EARLIER],
    ),
    ("asked_about", {"context": "q", "questions": ["c"], "answers": {"texts": [["a", "other"]]}}, [ABOUT, A]),
    ("glaive", {"system": "SYSTEM: s", "chat": "USER: q\n\n\nASSISTANT: a <|endoftext|>\n\n"}, [SYSTEM, Q, A]),
    *(("multiple_choice", row, CHOSEN) for row in MULTIPLE_CHOICE),
]


@pytest.mark.parametrize(
    ("name", "row", "messages"), ROWS, ids=[f"{n}-{name}" for n, (name, _, _) in enumerate(ROWS)]
)
def test_a_row_is_read_by_its_layout(name: str, row: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    found = reader(row)
    assert found.layout.name == name
    assert list(found.read(row).messages) == messages


def test_every_layout_has_a_row_here() -> None:
    assert {layout.name for layout in LAYOUTS} == {name for name, _, _ in ROWS} | {"text"}
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize(
    "row", [{"messages": [Q, A], "label": False}, {"prompt": "q", "completion": "a", "label": False}]
)
def test_an_answer_judged_bad_never_trains(row: dict[str, Any]) -> None:
    judged = {**row, "label": False}
    with pytest.raises(RowExcludedError):
        reader(judged).read(judged)


def test_several_answers_are_refused_with_the_way_to_name_one() -> None:
    row = {"question": "q", "answers": ["a", "b"]}
    with pytest.raises(RowError, match=r"completion=answers\.0"):
        reader(row).read(row)


@pytest.mark.parametrize(
    ("row", "error", "told"),
    [
        (
            {"question": "q", "answers": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]},
            RowError,
            r"--map prompt=question,completion=answers\.0\.text takes the first",
        ),
        ({"text": "q", "label": "a", "_task_hash": 1, "answer": "reject"}, RowExcludedError, "reject"),
        ({"text": "q", "options": [], "_task_hash": 1, "answer": "accept"}, RowExcludedError, "nobody"),
        ({"text": "q", "spans": [{"label": "ORG"}], "_view_id": "x", "answer": "accept"}, RowError, "a place in"),
        (
            {"prompt": "q", "response": [{"user_id": "u", "value": "a", "status": "draft"}]},
            RowExcludedError,
            "nobody has annotated",
        ),
        (
            {"question": "q", "context": "c", "answers": {"text": [], "answer_start": []}},
            RowExcludedError,
            "cannot be answered",
        ),
    ],
)
def test_what_nobody_chose_accepted_or_answered_never_trains(
    row: dict[str, Any], error: type[RowError], told: str
) -> None:
    with pytest.raises(error, match=told):
        reader(row).read(row)


def test_calls_of_older_and_other_dialects_become_calls() -> None:
    rows: list[list[dict[str, Any]]] = [
        [{"from": "human", "value": "q"}, {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'}],
        [Q, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}}],
        [Q, {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}]}],
    ]
    for turns in rows:
        row = {"messages": turns, "functions": [{"name": "f", "parameters": {}}]}
        example = reader(row).read(row)
        assert example.messages[1]["content"] == ""
        (call,) = example.messages[1]["tool_calls"]
        assert call["function"] == {"name": "f", "arguments": {"x": 1}}
        assert example.tools == [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def test_calls_one_behind_the_other_are_parallel_calls_of_one_turn() -> None:
    call = {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}
    row = {"conversations": [{"from": "human", "value": "q"}, call, call, {"from": "observation", "value": "1"}]}
    messages = reader(row).read(row).messages
    assert [len(message.get("tool_calls", ())) for message in messages] == [0, 2, 0]


def test_a_choice_that_is_none_breaks_the_row_and_one_left_open_is_left_out() -> None:
    found = reader(MULTIPLE_CHOICE[1])
    with pytest.raises(RowError, match="names none of the 2 choices"):
        found.read({**MULTIPLE_CHOICE[1], "answer": 2})
    with pytest.raises(RowExcludedError, match="does not say which answer"):
        found.read({**MULTIPLE_CHOICE[1], "answer": -1})


def test_numbered_choices_are_counted_from_where_their_set_counts() -> None:
    piqa, winogrande = MULTIPLE_CHOICE[-2:]
    assert reader(piqa).read({**piqa, "label": 0}).answers == ["A. x"]
    assert reader(winogrande).read({**winogrande, "answer": "1"}).answers == ["A. x"]
    with pytest.raises(RowError, match="names none of the 2 choices"):
        reader(winogrande).read({**winogrande, "answer": "0"})
    with pytest.raises(RowExcludedError, match="does not say which answer"):
        reader(piqa).read({**piqa, "label": -1})


def test_an_answer_in_words_beside_choices_is_no_multiple_choice() -> None:
    row = {"question": "q", "options": ["x", "y"], "answer": "It is neither of them."}
    assert reader(row).layout.name == "question_answer"


GLAIVE_TOOL = {"name": "find", "parameters": {"type": "object", "properties": {"item": {"type": "string"}}}}


def test_glaive_declares_calls_and_answers_in_two_texts() -> None:
    call = """<functioncall> {"name": "find", "arguments": '{"item": "lamp"}'} <|endoftext|>"""
    chat = f"USER: Where?\n\n\nASSISTANT: {call}\n\n\nFUNCTION RESPONSE: 9\n\n\nASSISTANT: There. <|endoftext|>\n\n\n"
    leads = "SYSTEM: You have access to the following functions. Use them if required -"
    row = {"system": f"{leads}\n{json.dumps(GLAIVE_TOOL)}\n\n{json.dumps(GLAIVE_TOOL)}", "chat": chat}
    example = reader(row).read(row)
    assert [message["role"] for message in example.messages] == ["user", "assistant", "tool", "assistant"]
    asking, calling, result, answer = example.messages
    assert (asking["content"], calling["content"], result["content"], answer["content"]) == (
        "Where?",
        "",
        "9",
        "There.",
    )
    assert calling["tool_calls"][0]["function"] == {"name": "find", "arguments": {"item": "lamp"}}
    assert result["tool_call_id"] == calling["tool_calls"][0]["id"]
    assert [tool["function"] for tool in example.tools] == [GLAIVE_TOOL, GLAIVE_TOOL]
    alone = {"system": "SYSTEM: You have no functions.", "chat": "USER: q\n\n\nASSISTANT: a <|endoftext|>"}
    assert list(reader(alone).read(alone).messages) == [{"role": "system", "content": "You have no functions."}, Q, A]
    with pytest.raises(RowError, match="cannot be read"):
        reader(row).read({**row, "chat": "USER: q\n\n\nASSISTANT: <functioncall> oops <|endoftext|>"})


def test_a_tool_that_moss_calls_leaves_the_conversation_out() -> None:
    turn = {"Human": "q", "MOSS": "a", "Commands": '<|Commands|>: Search("q")<eoc>'}
    with pytest.raises(RowExcludedError, match="calls tools"):
        reader({"chat": {"turn_1": turn}}).read({"chat": {"turn_1": turn}})


@pytest.mark.parametrize(
    "row",
    [
        {"input": "q Step 1: a ки\nStep 2: b ки", "label": "q Step 1: a +\nStep 2: b -", "task": "x"},
        {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
        {"inputs": {"question": "q"}, "outputs": {"answer": "a"}, "error": "rate limit"},
        {
            "inputs": {"messages": [Q]},
            "outputs": {"choices": [{"message": A, "finish_reason": "length"}]},
        },
    ],
)
def test_a_solution_with_a_wrong_step_and_a_run_that_failed_never_train(row: dict[str, Any]) -> None:
    with pytest.raises(RowExcludedError):
        reader(row).read(row)


def test_a_run_that_was_given_more_than_its_messages_is_no_plain_call() -> None:
    row = {"inputs": {"messages": [Q], "context": "c"}, "outputs": {"messages": [A]}}
    assert reader(row).layout.name == "input_output"
