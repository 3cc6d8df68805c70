"""Every examiner: what it finds, what it leaves alone, and that its fix takes the fault away."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.data.content.check import ContentCheck
from advisor.data.content.examiner import Examiner
from advisor.data.content.fixes import FIXES, drop_for, fix_for
from advisor.data.content.registry import EXAMINERS
from advisor.data.findings import BLOCKING
from advisor.data.leaks.finder import LeakFinder
from advisor.data.marked import as_series, marked
from tests.data.content.examples import CALL, FAULTS, HARMLESS, HERMES, TOOLS, said, thought, used
from trainers.examples.example import Example


def hinted(examiner: Examiner, example: Example) -> bool:
    """Whether the row reaches the close look."""
    if callable(examiner.hint):
        return examiner.hint(example)
    return bool(as_series([marked(example)]).str.contains(examiner.hint)[0])


def test_the_cases_walk_the_registry() -> None:
    codes = [examiner.code for examiner in EXAMINERS]
    assert len(codes) == len(set(codes))
    assert list(FAULTS) == list(HARMLESS) == codes


@pytest.mark.parametrize("examiner", EXAMINERS, ids=lambda one: one.code)
def test_faults_are_hinted_and_found(examiner: Examiner) -> None:
    for example in FAULTS[examiner.code]:
        assert hinted(examiner, example), example
        assert examiner.look(example), example


@pytest.mark.parametrize("examiner", EXAMINERS, ids=lambda one: one.code)
def test_what_only_looks_so_is_left_alone(examiner: Examiner) -> None:
    for example in HARMLESS[examiner.code]:
        assert examiner.look(example) == "", example


@pytest.mark.parametrize("code", [examiner.code for examiner in EXAMINERS if examiner.mend])
def test_a_fix_takes_the_fault_away_and_touches_nothing_else(code: str) -> None:
    examiner = next(one for one in EXAMINERS if one.code == code)
    fix, drop = fix_for(code), drop_for(code)
    for example in FAULTS[code]:
        mended = fix(example)
        assert mended is None or (not examiner.look(mended) and mended != example)
        assert drop(example) is None
    for example in HARMLESS[code]:
        assert fix(example) == drop(example) == example


FIXED = {
    "dialogue-in-field": (
        said("<user>: What is a stent? <bot>: A tube. <user>: Of what?", "Of metal."),
        said("What is a stent?", "A tube.", "Of what?", "Of metal."),
    ),
    "template-marks": (said("<s>[INST] hi [/INST]", "hello"), said("hi", "hello")),
    "speaker-names": (said("hi", "Assistant: hello"), said("hi", "hello")),
    "result-order": (used("a", "b", results=("b", "a")), used("a", "b", results=("a", "b"))),
    "foreign-reasoning": (
        thought("<reasoning>a</reasoning>\n<answer>So.</answer>"),
        Example(
            ({"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So.", "reasoning_content": "a"})
        ),
    ),
    "next-question": (said("Why?", "So.\n\nHuman: And?"), said("Why?", "So.")),
    "repeated-question": (
        said("How far is the town?", "How far is the town? Far."),
        said("How far is the town?", "Far."),
    ),
    "two-answers": (
        Example((*said("hi", "a").messages, {"role": "assistant", "content": "b"})),
        said("hi", "a\n\nb"),
    ),
    "unanswered-end": (said("hi", "a", "and?", "b", "so?"), said("hi", "a", "and?", "b")),
    "nested-messages": (said("hi", '{"role": "assistant", "content": "hello"}'), said("hi", "hello")),
    "written-dialogue": (Example(text="Q: Why?\nA: So."), said("Why?", "So.")),
    "end-tokens": (said("hi", "hello<|im_end|>\n"), said("hi", "hello")),
    "escaped-breaks": (said("List", "1. tea\\n2. milk"), said("List", "1. tea\n2. milk")),
    "empty-answers": (said("hi", "", "so?", "hello"), said("so?", "hello")),
    "mojibake": (said("hi", "schÃ¶ne GrÃ¼ÃŸe"), said("hi", "schöne Grüße")),
    "unseen-marks": (said("hi", "hel\u200blo"), said("hi", "hello")),
    "html-entities": (said("hi", "&quot;yes&quot;"), said("hi", '"yes"')),
    "old-separators": (said("hi\n\n###\n\n", " hello END"), said("hi", "hello")),
}


@pytest.mark.parametrize("code", FIXED)
def test_what_a_fix_writes(code: str) -> None:
    before, after = FIXED[code]
    assert fix_for(code)(before) == after


def test_chinese_read_as_latin_is_read_again() -> None:
    spoilt = said("hi", "中文数据集的回答".encode("gb18030").decode("latin-1"))
    assert fix_for("mojibake")(spoilt) == said("hi", "中文数据集的回答")


def test_repeats_are_mended_by_keeping_the_first() -> None:
    rows = [said("a", "x"), said("a", "x"), said("a", "y"), said("b", "x")]
    assert [fix_for("duplicates")(row) for row in rows] == rows, "each fix begins anew"
    once, one_answer = fix_for("duplicates"), fix_for("contradictions")
    assert [once(row) for row in rows] == [rows[0], None, rows[2], rows[3]]
    assert [one_answer(row) for row in rows] == [rows[0], None, None, rows[3]]
    few = fix_for("repeated-answers")
    near = fix_for("near-duplicates")
    long = " ".join(f"word{number}" for number in range(60))
    assert [bool(near(said(long, text))) for text in ("one", "two", "three four five six")] == [True, False, False]
    assert near(said("else", "other"))
    assert sum(few(said(str(i), "the same")) is not None for i in range(20)) == 5


def test_every_fix_belongs_to_a_finding_and_blocking_codes_are_named() -> None:
    assert {examiner.code for examiner in EXAMINERS if examiner.mend} < set(FIXES)
    for examiner in EXAMINERS:
        assert (examiner.code in BLOCKING) == (examiner.blocks_above is not None)
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", examiner.code)


def test_calls_among_words_become_calls_with_their_results_and_tools() -> None:
    system = f"<tools>{json.dumps(TOOLS)}</tools> Write calls between <tool_call></tool_call>."
    written = (
        {"role": "system", "content": system},
        *said("Find it", f"I look.\n{HERMES}", "<tool_response>9</tool_response>", "Nine.").messages,
    )
    mended = fix_for("written-calls")(Example(written))
    assert mended is not None
    question, call, result, reply = mended.messages
    assert mended.tools == TOOLS
    assert (call["content"], [one["function"] for one in call["tool_calls"]]) == ("I look.", [CALL[0]["function"]])
    assert (result["role"], result["content"]) == ("tool", "9")
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert (question["role"], reply["content"]) == ("user", "Nine.")


def test_what_an_agent_for_code_observes_is_the_result_of_its_call() -> None:
    call = "I look.\n\n<function=find>\n<parameter=item>lamp</parameter>\n</function>"
    mended = fix_for("written-calls")(said("Find it", call, "OBSERVATION:\nshelf 3", "There."))
    assert mended is not None
    _, calling, result, _ = mended.messages
    assert calling["tool_calls"][0]["function"] == {"name": "find", "arguments": {"item": "lamp"}}
    assert (result["role"], result["content"]) == ("tool", "shelf 3")
    assert result["tool_call_id"] == calling["tool_calls"][0]["id"]


def test_calls_tools_and_results_of_toolace_become_those_of_templates() -> None:
    told = (
        f"Here is a list of functions:\n{json.dumps([TOOLS[0]['function']])}.\nIn the format of [func1(name=value)]"
    )
    turns = (
        {"role": "system", "content": told},
        {"role": "user", "content": "Find both"},
        {"role": "assistant", "content": '[find(item="lamp"), find(item="bulb")]'},
        {"role": "tool", "content": '[{"results": 9}, {"results": 8}]'},
        {"role": "assistant", "content": "Nine and eight."},
    )
    mended = fix_for("written-calls")(Example(turns))
    assert mended is not None
    assert mended.tools == TOOLS
    _, calling, *results, _ = mended.messages
    assert [call["function"]["arguments"]["item"] for call in calling["tool_calls"]] == ["lamp", "bulb"]
    ids = [call["id"] for call in calling["tool_calls"]]
    assert [(one["tool_call_id"], one["content"]) for one in results] == [
        (ids[0], '{"results": 9}'),
        (ids[1], '{"results": 8}'),
    ]
    again = Example(mended.messages[:1], tools=TOOLS)
    assert fix_for("written-calls")(again) == again


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.lists(
        st.sampled_from(
            ["User:", "<bot>:", "</s>", "[INST]", "{{", "name", "}}", "\\n", "nan", "\ufffd", "Ã¶", "\u200b", "`",
             '"', "[Your Name]", "<think>", "</think>", "<tool_call>", HERMES, "Question:", "Answer:", "### ", "A:",
             "I'm sorry, I cannot help", "&quot;", "END", " ", "\n", "ÖÐÎÄÊý¾Ý"]
        )
    ).map("".join),
)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": TEXT},
    optional={"tool_calls": st.just(CALL), "reasoning_content": TEXT, "weight": st.integers(0, 1)},
)
SOME_TOOLS = st.one_of(st.none(), st.just(CALL))
EXAMPLE = st.one_of(
    st.builds(Example, messages=st.lists(MESSAGE, min_size=1, max_size=5).map(tuple), tools=SOME_TOOLS),
    st.builds(Example, text=TEXT),
)  # fmt: skip


@settings(deadline=None)
@given(EXAMPLE)
def test_no_example_breaks_an_examiner_or_its_fix(example: Example) -> None:
    for examiner in EXAMINERS:
        found = examiner.look(example)
        assert isinstance(found, str)
        if examiner.mend:
            mended = fix_for(examiner.code)(example)
            assert mended is None or not examiner.look(mended)
            assert found or mended == example


@settings(deadline=None)
@given(st.lists(EXAMPLE, max_size=8))
def test_no_examples_break_the_check(examples: list[Example]) -> None:
    content = ContentCheck(LeakFinder())
    for line, example in enumerate(examples, 1):
        content.add(line, example, marked(example))
    for finding in content.findings():
        assert finding.what
        assert finding.fix
        assert set(finding.lines) <= set(range(1, len(examples) + 1))


def test_answers_excluded_from_learning_stay_so_when_turns_move() -> None:
    before = Example(said("hi", "", "so?", "hello", "and?", "bye").messages, unlearnt=frozenset({5}))
    after = fix_for("empty-answers")(before)
    assert after == Example(said("so?", "hello", "and?", "bye").messages, unlearnt=frozenset({3}))
    assert marked(before) != marked(said("hi", "", "so?", "hello", "and?", "bye")), "these train differently"


@settings(deadline=None)
@given(EXAMPLE)
def test_a_fault_never_hides_behind_its_hint(example: Example) -> None:
    for examiner in EXAMINERS:
        if examiner.look(example):
            assert hinted(examiner, example), examiner.code
