"""The layout of a dataset by its first rows, and what is said where there is none: all that a person then has."""

from __future__ import annotations

from typing import Any

import pytest

from trainers.errors import ExamplesError
from trainers.examples.example import RowError
from trainers.examples.layouts import BY_NAME, LAYOUTS
from trainers.examples.mapping import TARGETS
from trainers.examples.reader import LOOKED_AT, Reader, reader_for
from trainers.examples.rows import Row
from trainers.examples.source import open_source, reader_of

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
SHARED = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
TURN_PAIRS = {"conversation": [{"human": "q", "assistant": "a"}]}
PAIR = {"prompt": "q", "completion": "a"}
TEXT = {"text": "some words"}


def rows(*values: dict[str, Any] | None) -> list[Row]:
    return [Row(line, value, "" if value else "is no object") for line, value in enumerate(values, 1)]


def refusal(*values: dict[str, Any] | None, **stated: Any) -> ExamplesError:
    with pytest.raises(ExamplesError) as refused:
        reader_for(rows(*values), "a.jsonl", **stated)
    return refused.value


def said(error: ExamplesError) -> tuple[str, str, str]:
    return error.what, error.why, error.fix


def test_the_layout_of_most_rows_is_that_of_the_dataset() -> None:
    assert reader_for(rows(PAIR), "a.jsonl").layout is BY_NAME["prompt_completion"]
    assert reader_for(rows(*[CHAT] * 99, None, PAIR), "a.jsonl").layout is BY_NAME["messages"]


def test_rows_of_several_layouts_are_each_read_by_their_own() -> None:
    alpaca = {"instruction": "q", "input": "", "output": "a"}
    every = rows(CHAT, PAIR, SHARED, alpaca, TURN_PAIRS, TEXT)
    for first in (every[:1], every[1:2], every[3:4], every):
        reader = reader_for(first, "a.jsonl")
        examples = [reader.example(row) for row in every]
        turns = [[message["content"] for message in one.messages] for one in examples]
        assert turns == [["q", "a"]] * 5 + [[]]
        assert examples[-1].text == TEXT["text"]
    with pytest.raises(RowError, match="no messages"):
        reader_for(rows(CHAT), "a.jsonl").example(Row(1, {"topic": "x"}))


def test_a_row_with_the_columns_of_the_dataset_is_never_read_by_another_layout() -> None:
    reader = reader_for(rows(CHAT), "a.jsonl")
    with pytest.raises(RowError):
        reader.example(Row(2, {"messages": [], "prompt": "q", "completion": "a"}))
    assert reader_for(rows(*[PAIR] * 3, *[TEXT] * 9), "a.jsonl").layout is BY_NAME["prompt_completion"]


def test_conversations_of_several_spellings_are_one_family() -> None:
    assert reader_for(rows(CHAT, SHARED, CHAT), "a.jsonl").layout is BY_NAME["messages"]
    assert reader_for(rows(CHAT, SHARED, TURN_PAIRS, CHAT), "a.jsonl").layout is BY_NAME["messages"]


def test_a_layout_that_the_plan_states_is_taken_without_a_look() -> None:
    reader = reader_for(rows(CHAT), "a.jsonl", "text", {"text": "messages"})
    assert (reader.layout, reader.mapping) == (BY_NAME["text"], {"text": "messages"})
    what, why, fix = said(refusal(CHAT, name="massages"))
    assert what == "there is no layout 'massages'"
    assert why == f"known are {', '.join(layout.name for layout in LAYOUTS)}"
    assert fix == "leave dataset.format out"


def test_a_file_without_a_row_and_one_without_a_readable_row_are_told_apart() -> None:
    assert said(refusal()) == ("a.jsonl holds no rows", "", "give a file with at least two examples")
    assert said(refusal(None, None, None, None)) == (
        "no row of a.jsonl can be read",
        "line 1: is no object; line 2: is no object; line 3: is no object",
        "write one JSON object a line, in UTF-8 (.jsonl)",
    )


def test_columns_are_mapped_wherever_some_row_has_them() -> None:
    mapping = {"prompt": "ask.text + title", "completion": "reply"}
    several = rows({"ask": {"text": "q"}}, {"title": "t", "reply": "a"})
    assert reader_for(several, "a.jsonl", mapping=mapping).mapping == mapping
    assert reader_for(rows({"ask.text": "q", "title": "t", "reply": "a"}), "a.jsonl", mapping=mapping).mapping
    assert said(refusal({"ask": "q", "reply": "a"}, mapping={"prompt": "ask + heading", "completion": "reply"})) == (
        "a.jsonl has no column 'heading' to map",
        "the columns are ask, reply",
        "--map prompt=ask,completion=reply",
    )
    assert refusal({}, mapping={"text": "body"}).why == "the columns are none"


def test_a_mapping_that_leads_to_no_layout_names_what_it_could_fill() -> None:
    error = refusal({"a": "q", "b": "x"}, mapping={"system": "a"})
    assert said(error) == (
        "a.jsonl is in no known format",
        "the columns are a, b",
        "map a prompt and a completion, messages, or text: --map prompt=question,completion=answer "
        f"(targets: {', '.join(TARGETS)})",
    )


GUESS = "a guess from names and contents; look at the rows shown then"
NO_TEXT = "no column holds one text a row; write a question and its answer into columns of their own"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completions": ["one answer", "another"], "labels": [1, 0]},
        {"instruction": "q", "completions": [{"response": "a"}, {"response": "b"}], "correct_answers": ["None"]},
        {"title": "q", "answers": {"text": ["a", "b"], "score": [5, 2]}},
    ],
)
def test_of_several_answers_none_is_chosen_for_the_user(row: dict[str, Any]) -> None:
    error = refusal(row)
    assert "holds several answers to one question" in str(error.why)
    assert "choose one of them" in str(error.fix)


@pytest.mark.parametrize("name", ["x" * 61, "Is it?", "It is. ", "Stop!"])
def test_columns_that_are_sentences_look_like_a_missing_header(name: str) -> None:
    assert said(refusal({name: "q", "b": "x"})) == (
        "a.jsonl is in no known format",
        f"the columns are {name}, b; they look like a first row of data",
        "give the file a header line that names its columns: (echo prompt,completion; cat a.jsonl) > named.csv",
    )
    choices = {name: "q", "x": "1", "y": "2", "z": "3", "w": "4", "C": "B"}
    assert "(echo question,A,B,C,D,answer; cat a.jsonl)" in str(refusal(choices).fix)


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        ({"input_ids": [1, 2]}, "it is tokenised already; give the text it was made from"),
        ({"x" * 60: "q", "b": "a"}, f"say which column is what: --map prompt={'x' * 60},completion=b"),
        ({"a": "q", "n": 3, "e": " ", "c": "a"}, "say which column is what: --map prompt=a,completion=c"),
        ({"a": {"b": "q", "c": "a"}}, "say which column is what: --map prompt=a.b,completion=a.c"),
        ({"a": '{"b": "q", "c": "a"}'}, "say which column is what: --map prompt=a.b,completion=a.c"),
        ({"a": "q", "b": "why", "c": "a"}, "say which column is what: --map prompt=a+b,completion=c"),
        ({"a": "q", "utterances": ["x", "y"]}, "say which column is what: --map messages=utterances"),
        ({"a": "q", "b": "c", "label": 1}, "say which column is what: --map prompt=a+b,completion=label"),
        ({"review": "q", "stars": "5"}, "say which column is what: --map prompt=review,completion=stars"),
        ({"a": "q", "choices": ["x", "y"]}, "say which column is what: --map text=a"),
        ({"a": "q", "log": "[|Human|] q\n[|AI|] a"}, "say which column is what: --map text=log"),
        ({"a": "q", "many": [], "numbers": [1]}, "say which column is what: --map text=a"),
        ({"a": "q", "log": {"turns": CHAT["messages"]}}, "say which column is what: --map messages=log.turns"),
        (
            {"passage": "p", "question": "q", "spans": {"answers": ["a"]}},
            "say which column is what: --map prompt=question,context=passage,completion=spans.answers.0",
        ),
        (
            {"question": "q", "context": {"texts": ["p", "r"], "labels": ["x", "y"]}, "long_answer": "a"},
            "say which column is what: --map prompt=question,context=context.texts,completion=long_answer",
        ),
        ({"question": "q", "passage": "p", "spans": [1]}, NO_TEXT),
        ({"a": {str(n): "q" for n in range(9)}, "b": "x"}, NO_TEXT),
        ({"n": 3}, NO_TEXT),
        ({}, NO_TEXT),
    ],
)
def test_what_a_person_can_do_about_unknown_columns(row: dict[str, Any], fix: str) -> None:
    error = refusal(row)
    assert error.fix == (f"{fix} ({GUESS})" if "--map" in fix else fix)
    assert error.why == f"the columns are {', '.join(row) or 'none'}"


@pytest.mark.parametrize("name", ["Prompt", " prompt ", '"prompt"', "'prompt'", "\ufeffprompt", "PROMPT"])
def test_names_of_columns_are_read_whatever_their_case_and_quotes(name: str) -> None:
    reader = reader_for(rows({name: "q", "Completion": "a"}), "a.csv")
    assert [message["content"] for message in reader.read({name: "q", "Completion": "a"}).messages] == ["q", "a"]


def test_blanks_and_hyphens_in_a_name_are_underscores_and_other_languages_english() -> None:
    named = Reader(BY_NAME["text"]).named
    assert named({"preferred output": 1, "Non-Preferred-Output": 2}) == {"chosen": 1, "rejected": 2}
    assert named({"问题": 1, "Antwort": 2}) == {"question": 1, "answer": 2}
    assert named({7: 1}) == {"7": 1}


def test_a_row_whose_names_are_right_is_not_copied() -> None:
    row = {"prompt": 1, "completion": 2}
    assert Reader(BY_NAME["text"]).named(row) is row


def test_two_columns_that_differ_in_case_alone_stay_as_they_are() -> None:
    assert Reader(BY_NAME["text"]).named({"Text": 1, "text": 2}) == {"Text": 1, "text": 2}


def test_more_shapes_than_are_kept_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.examples.reader._SHAPES_KEPT", 2)
    reader = Reader(BY_NAME["text"])
    for number in range(8):
        assert reader.named({f"A{number}": 1}) == {f"a{number}": 1}
        assert len(reader._names) <= 3
    assert reader.named({"A7": 2}) == {"a7": 2}


def test_the_first_two_hundred_rows_of_a_file_decide(tmp_path: Any) -> None:
    file = tmp_path / "a.jsonl"
    lines = ['{"text": "words"}'] * LOOKED_AT + ['{"prompt": "q", "completion": "a"}'] * LOOKED_AT
    file.write_text("\n".join(lines))
    assert reader_of(open_source(str(file))).layout is BY_NAME["text"]
    assert reader_of(open_source(str(file)), "prompt_completion").layout is BY_NAME["prompt_completion"]
    assert reader_of(open_source(str(file)), columns={"prompt": "text", "completion": "text"}).mapping
    file.write_text("")
    with pytest.raises(ExamplesError, match=r"a\.jsonl"):
        reader_of(open_source(str(file)))
