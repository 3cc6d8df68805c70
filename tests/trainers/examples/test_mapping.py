"""Columns that the user names: parsed, checked against what is there, and nothing else is read."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.errors import ExamplesError
from trainers.examples.example import RowError
from trainers.examples.mapping import as_flag, mapped, parse_mapping, pasted
from trainers.examples.proposals import completed, left_out, many_answers, proposal, proposed
from trainers.examples.reader import reader_for
from trainers.examples.rows import Row

LONG = "what the keeper of the light saw"

ROWS = [Row(1, {"title": "t", "body": "b", "out": {"text": ["a"]}, "system": "never asked for"})]


def test_columns_are_joined_and_looked_into() -> None:
    mapping = parse_mapping("prompt=title+body, completion=out.text.0")
    reader = reader_for(ROWS, "rows", mapping=mapping)
    example = reader.read(ROWS[0].value or {})
    assert [message["content"] for message in example.messages] == ["t\n\nb", "a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("prompt", "names no column"), ("prompt=", "names no column"), ("wish=a", "cannot fill 'wish'")],
)
def test_a_mapping_that_is_none_is_refused_with_an_example(text: str, said: str) -> None:
    with pytest.raises(ExamplesError, match=said) as refused:
        parse_mapping(text)
    assert "--map prompt=question" in refused.value.fix


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ExamplesError, match="no column 'titel'") as refused:
        reader_for(ROWS, "rows", mapping={"prompt": "titel"})
    assert "title, body, out" in refused.value.why


def test_a_place_that_a_row_lacks_is_none() -> None:
    assert mapped({"a": [1]}, {"prompt": "a.3", "completion": "b.c"}) == {"prompt": None, "completion": None}


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="+.\r\n"), min_size=1, max_size=8).map(str.strip)


@settings(deadline=None)
@given(NAMES.filter(bool), NAMES.filter(bool))
def test_a_printed_flag_says_the_same_when_it_is_pasted(asked: str, answered: str) -> None:
    mapping = {"prompt": asked, "completion": answered}
    flag, text = shlex.split(as_flag(mapping))
    assert flag == "--map"
    assert parse_mapping(text) == mapping
    assert pasted(as_flag(mapping).partition(" ")[2]) == text


@pytest.mark.parametrize("text", ["messages=m,prompt=q", "text=t,completion=a", "prompt=q", "system=s"])
def test_targets_of_which_one_would_not_be_used_are_refused(text: str) -> None:
    with pytest.raises(ExamplesError):
        parse_mapping(text)


def test_a_context_joins_the_question_and_the_case_of_a_name_is_free() -> None:
    rows = [Row(1, {"Customer Question": "q", "Wiki": ["c1", "c2"], "Reply": "a"})]
    reader = reader_for(rows, "rows", mapping=parse_mapping("prompt=customer question,context=wiki,completion=REPLY"))
    assert reader.example(rows[0]).messages == (
        {"role": "user", "content": "q\n\nc1\nc2"},
        {"role": "assistant", "content": "a"},
    )


@pytest.mark.parametrize(
    "row",
    [
        {"Customer Question": "q", "Agent Reply": "a"},
        {"wish, if any": "q", "grant": "a"},
        {"meta": {"id": 1}, "talk": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"it's": "q", 'the "answer"': "a"},
    ],
)
def test_the_mapping_that_an_unknown_layout_is_told_reads_it(row: dict[str, Any]) -> None:
    with pytest.raises(ExamplesError) as caught:
        reader_for([Row(1, row)], "rows")
    text = shlex.split((caught.value.fix or "").partition("--map ")[2])[0]
    assert reader_for([Row(1, row)], "rows", mapping=parse_mapping(text)).read(row).answers == ["a"]


def test_of_several_answers_the_error_names_a_mapping_that_takes_one() -> None:
    rows = [Row(1, {"问题": "q", "answers": ["a", "b"]})]
    with pytest.raises(RowError) as caught:
        reader_for(rows, "rows").example(rows[0])
    text = shlex.split(str(caught.value).partition("--map ")[2])[0]
    assert reader_for(rows, "rows", mapping=parse_mapping(text)).example(rows[0]).answers == ["a"]


@pytest.mark.parametrize(
    ("row", "flag"),
    [
        ({"id": "flan.1", "data": ["q", "a"]}, "messages=data"),
        ({"sql_prompt": "q", "sql_context": "c", "sql": "a", "sql_explanation": "e"}, "prompt=sql_prompt,context="),
        (
            {"prompt": [{"role": "user", "content": "q"}], "ground_truth": "5"},
            "prompt=prompt,completion=ground_truth",
        ),
        ({"source": "x", "instruction": "q", "completions": [{"response": "a", "score": 1}]}, "prompt=instruction,"),
        (
            {"talk": [{"role": "user", "content": "q"}], "answer": [{"role": "assistant", "content": "a"}]},
            "prompt=talk,completion=answer",
        ),
        ({"page_content": "long", "metadata": {"source": "a.pdf"}}, "text=page_content"),
        ({"system": "s", "chat_log": "USER: q"}, "text=chat_log"),
        (
            {"db_id": "d", "query": "SELECT 1", "question": "q", "toks": ["a", "b"]},
            "prompt=question,completion=query",
        ),
        (
            {"gold_label": "neutral", "sentence1": "a", "sentence1_parse": "(a)", "sentence2": "b"},
            "prompt=sentence1+sentence2,completion=gold_label",
        ),
    ],
)
def test_a_mapping_is_proposed_by_what_the_columns_are_called(row: dict[str, Any], flag: str) -> None:
    proposed = shlex.split(proposal(row))
    assert proposed[1].startswith(flag)
    reader_for([Row(1, row)], "rows", mapping=parse_mapping(proposed[1])).read(row)


@pytest.mark.parametrize(
    ("row", "flag"),
    [
        ({"name": LONG, "accepted": {"@type": "Answer", "text": "a"}}, "prompt=name,completion=accepted.text"),
        ({"question": "q", "answer_text": "a", "seen": LONG}, "prompt=seen+question,completion=answer_text"),
        ({"question": "q", "answer_text": "a", "seen": "x"}, "prompt=question,completion=answer_text"),
        (
            {"Timestamp": "2", "What is it you want?": "q", "Our reply": "a"},
            "prompt=What is it you want?,completion=Our reply",
        ),
        ({"post": "q", "comments": [{"body": LONG}, {"body": LONG}]}, ""),
        ({"talk": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "seen": LONG}, ""),
    ],
)
def test_a_mapping_that_leaves_words_out_is_completed_or_not_printed(row: dict[str, Any], flag: str) -> None:
    made = completed(row, proposed(row))
    assert (shlex.split(as_flag(made))[1] if made else "") == flag
    assert bool(left_out(row, proposed(row))) == (made != proposed(row))


def test_nothing_is_proposed_where_nothing_is_said() -> None:
    sides = {"prompt": "q", "response_a": "a", "response_b": "b"}
    assert proposal(sides) == "" and many_answers(sides) == "response_a, response_b"
    assert proposal({"segments": [{"label": True, "n": 1}], "id": 3}) == ""
    assert "candidates" not in proposal({"utterances": [{"history": ["a", "b"], "candidates": ["c", "d"]}]})


@pytest.mark.parametrize(
    "row",
    [
        {"audio": {"path": "a.wav", "sampling_rate": 16000}, "sentence": "s"},
        {"file": "clips/a.mp3", "words": "s"},
        {"image": {"bytes": b"x", "path": None}, "caption_of_it": "c"},
    ],
)
def test_the_path_of_a_picture_or_a_sound_is_never_proposed_as_a_question(row: dict[str, Any]) -> None:
    assert proposal(row) == ""
    with pytest.raises(ExamplesError) as caught:
        reader_for([Row(1, row)], "rows")
    assert "films and sounds cannot be trained on yet" in (caught.value.fix or "")
