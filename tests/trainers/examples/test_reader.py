"""The layout of a dataset by its first rows, and what is said where there is none: all that a person then has."""

from __future__ import annotations

from typing import Any

import pytest

from trainers.errors import ExamplesError
from trainers.examples.example import RowError, RowExcludedError
from trainers.examples.layouts import BY_NAME, LAYOUTS
from trainers.examples.mapping import SPEAKER, TARGETS
from trainers.examples.reader import LOOKED_AT, SHOWN_NAMES, Reader, joined_reader, reader_for, with_speaker
from trainers.examples.rows import Row, as_row
from trainers.examples.source import open_source, reader_of

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
SHARED = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
TURN_PAIRS = {"conversation": [{"human": "q", "assistant": "a"}]}
PAIR = {"prompt": "q", "completion": "a"}
PAIR_LAYOUT = "prompt_completion"
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


def test_rows_of_another_layout_keep_what_the_plan_states() -> None:
    reader = reader_for([Row(1, PAIR, split="train"), Row(2, CHAT, split="train")], "a.jsonl", split="train")
    for other in (PAIR, CHAT):
        assert [said["content"] for said in reader.example(Row(3, other, split="train")).messages] == ["q", "a"]
        with pytest.raises(RowExcludedError, match="belongs to the split 'test'"):
            reader.example(Row(4, other, split="test"))
    stated = reader_for([Row(1, PAIR, split="train")], "a.jsonl", "prompt_completion", split="train")
    with pytest.raises(RowExcludedError):
        stated.example(Row(2, PAIR, split="test"))


def test_rows_of_other_splits_do_not_decide_the_layout() -> None:
    tested = [Row(number, CHAT, split="test") for number in range(5)]
    assert reader_for([*tested, Row(9, PAIR, split="train")], "a.jsonl", split="train").layout is BY_NAME[PAIR_LAYOUT]
    assert reader_for([*tested, Row(9, PAIR)], "a.jsonl", split="train").layout is BY_NAME[PAIR_LAYOUT]
    assert reader_for([*tested, Row(9, PAIR, split="train")], "a.jsonl").layout is BY_NAME["messages"]
    assert reader_for(tested, "a.jsonl", split="train").layout is BY_NAME["messages"], (
        "where none is left, all decide"
    )
    assert reader_for(rows(CHAT), "a.jsonl", split="train").split is None, "rows of no split are not left out"


def test_a_mixture_is_called_what_its_parts_are() -> None:
    pairs, chats, texts = (reader_for(rows(row), "a.jsonl") for row in (PAIR, CHAT, TEXT))
    assert joined_reader((pairs, pairs)).layout is BY_NAME[PAIR_LAYOUT]
    assert joined_reader((pairs, texts)).layout is BY_NAME["messages"]
    mapping = {"prompt": "a", "completion": "b"}
    mapped_part = reader_for(rows({"a": "q", "b": "a"}), "b.jsonl", mapping=mapping)
    assert joined_reader((chats, mapped_part)).mapping == mapping
    assert joined_reader((chats, pairs)).mapping == {}
    assert [said["content"] for said in joined_reader((chats, pairs)).example(Row(1, PAIR, part=1)).messages] == [
        "q",
        "a",
    ]


def talk(*said: tuple[str, str], key: str = "speaker", column: str = "messages") -> dict[str, Any]:
    return {column: [{key: who, "text": what} for who, what in said]}


def roles_for(row: dict[str, Any], speaker: str) -> list[str]:
    reader = reader_for(rows(row), "a.jsonl", mapping={SPEAKER: speaker})
    return [said["role"] for said in reader.example(Row(1, row)).messages]


@pytest.mark.parametrize("key", ["speaker", "from", "author"])
def test_the_person_who_is_named_answers_and_everybody_else_asks(key: str) -> None:
    row = talk(("system", "Be kind."), ("Ann", "q"), ("Bob", "a"), ("Tool", "out"), ("Bob", "b"), key=key)
    assert roles_for(row, "Bob") == ["system", "user", "assistant", "tool", "assistant"]
    assert roles_for(talk(("Assistant", "q"), ("Bob", "a"), key=key), "Bob") == ["user", "assistant"]


def test_what_is_no_turn_of_a_speaker_stays_as_it_is() -> None:
    turns = [{"text": "nobody"}, "words", {"speaker": None, "text": "x"}, {"speaker": "Bob", "text": "a"}]
    made = with_speaker({"messages": turns, "id": 7}, "Bob")
    assert made == {"messages": [*turns[:3], {"role": "assistant", "text": "a"}], "id": 7}


def test_who_answers_has_to_be_said_where_people_speak() -> None:
    row = talk(("Ann", "q"), ("Bob", "a"))
    assert said(refusal(row)) == (
        "a.jsonl does not say whose words are answers",
        "those who speak are Ann, Bob",
        "name the one whose words are learnt: --map assistant=Bob",
    )
    assert refusal(row, mapping={SPEAKER: "Cem"}).what == "nobody called Cem speaks in a.jsonl"
    mapped_talk = {"said": row["messages"]}
    assert refusal(mapped_talk, mapping={"messages": "said"}).why == "those who speak are Ann, Bob"
    crowd = [(f"P{number}", "x") for number in range(SHOWN_NAMES)]
    assert refusal(talk(*crowd)).why == f"those who speak are {', '.join(who for who, _ in crowd)}"
    assert refusal(talk(*crowd, ("Bob", "a"))).why.endswith(f"P{SHOWN_NAMES - 1}, ...")


def test_nobody_is_asked_for_where_roles_tell_or_one_speaks_alone() -> None:
    for row in (talk(("user", "q"), ("Assistant", "a")), talk(("Ann", "alone")), talk(("user", "q"), ("user", "p"))):
        assert reader_for(rows(row), "a.jsonl").layout is BY_NAME["messages"]
    assert reader_for(rows(talk(("Ann", "q"), ("Bob", "a")), talk(("Ann", "alone"))), "a.jsonl")


def test_a_system_that_speaks_behind_a_user_is_who_answers() -> None:
    """As logs of dialogue systems call it; one that opens a talk gives instructions."""
    error = refusal(talk(("SYSTEM", "hello"), ("USER", "q"), ("SYSTEM", "a")))
    assert (error.why, error.fix[-22:]) == ("those who speak are USER, SYSTEM", "--map assistant=SYSTEM")
    assert reader_for(rows(talk(("system", "Be kind."), ("user", "q"), ("user", "p"))), "a.jsonl")
    both = {"messages": [{"speaker": who, "text": "x"} for who in ("system", "system", "user")]}
    assert reader_for(rows(both), "a.jsonl")


def test_columns_that_are_read_as_they_are_need_no_map() -> None:
    assert refusal(PAIR, mapping={"prompt": "nowhere", "completion": "completion"}).fix == (
        "leave --map out: these columns are read as they are"
    )


def test_rows_that_are_bare_lists_get_a_command_that_names_them() -> None:
    with pytest.raises(ExamplesError) as refused:
        reader_for([as_row(["q", "a"], 1), as_row(["p", "b"], 2)], "a.json")
    assert refused.value.fix == (
        "the values stand there without the names of their columns; give them, such as: "
        "jq -c '.[] | {prompt: .[0], completion: .[1]}' rows.json > rows.jsonl"
    )
    with pytest.raises(ExamplesError, match="UTF-8"):
        reader_for([as_row(["q", "a"], 1), *rows(None)], "a.json")


@pytest.mark.parametrize(
    ("columns", "header"),
    [
        ("q?,x,B", "prompt,completion,column3"),
        ("q?,x,y,A", "question,A,B,answer"),
        ("q?,x,y,C", "prompt,completion,column3,column4"),
        ("q?,x,y,z,w,D", "question,A,B,C,D,answer"),
        ("q?,x,y,z,w,no", "prompt,completion,column3,column4,column5,column6"),
    ],
)
def test_a_header_for_a_file_without_one(columns: str, header: str) -> None:
    assert f"(echo {header}; cat" in refusal(dict.fromkeys(columns.split(","), "v")).fix


def test_one_side_of_a_batch_of_requests_gets_the_command_that_joins_both() -> None:
    what, why, fix = said(refusal({"custom_id": "1", "body": {"messages": []}}))
    assert (what, why) == (
        "a.jsonl is in no known format",
        "the columns are custom_id, body; it is one side of a batch of requests, and an example needs the question "
        "and its answer",
    )
    assert fix == (
        "jq -s -c 'group_by(.custom_id)[] | add | "
        "{messages: (.body.messages + [.response.body.choices[0].message])}' "
        "requests.jsonl answers.jsonl > chats.jsonl"
    )


def test_of_sounds_and_several_answers_the_whole_sentence() -> None:
    error = refusal({"sound": {"bytes": "x", "path": "a.wav"}, "n": 3})
    assert error.why == "the columns are sound, n; sound holds pictures, films or sounds"
    assert error.fix == (
        "pictures are trained on beside a question and its answer: write these into columns of their own "
        "(question, answer); films and sounds cannot be trained on yet"
    )
    error = refusal({"title": "q", "answers": {"text": ["a", "b"], "score": [5, 2]}})
    assert error.why == "the columns are title, answers; answers.text holds several answers to one question"
    assert error.fix == (
        "choose one of them for each row (the best, or a row for each), and write it as a text: a column answer"
    )
