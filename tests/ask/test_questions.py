"""The table is complete, consistent, and every reader of it agrees."""

from __future__ import annotations

import pytest

from advisor.ask.question import PAGES, Measured, Suggestion
from advisor.ask.questions import BY_KEY, QUESTIONS, on_page
from advisor.commands.arguments import Parser, add_question_flags, question_layers
from advisor.data.profile import DatasetProfile
from rules.coverage import unread_facts
from rules.engine import load_rule_book
from rules.facts import BY_PATH
from tests.report.made_by_hand import dataset

ASKABLE = ("data.", "task.", "deploy.", "storage.", "wish.")
MOST_ON_A_PAGE = 10
MEASURED_ONLY = {
    "data.picture_rows",
    "data.completion_ratio",
    "data.len_mean",
    "data.len_p99",
    "data.len_max",
    "data.multi_turn_share",
}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.key)
def test_each_question_says_what_and_why_in_one_line_each(question):
    for text in (question.prompt, question.help, question.why):
        assert text
        assert "\n" not in text
        assert len(text) <= 110, text
    assert len(question.prompt) <= 72
    assert all(len(name) + len(meaning) <= 66 for name, meaning in question.choices.items())


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.key)
def test_each_question_fits_the_fact_it_fills(question):
    if "." not in question.key:
        return
    fact = BY_PATH[question.key]
    kinds = {"choice": "string", "bool": "bool", "int": "int", "length": "int", "size": "int"}
    assert kinds[question.kind] == fact.type
    assert set(question.choices) <= set(fact.choices)
    if fact.choices:
        assert tuple(question.choices) == fact.choices


def test_every_askable_fact_is_asked():
    askable = {path for path in BY_PATH if path.startswith(ASKABLE)} - MEASURED_ONLY
    asked = {key for key in BY_KEY if "." in key}
    assert askable == asked, f"advisor/ask/questions.py does not ask for {askable - asked}; or MEASURED_ONLY here"


def test_pages_are_short_and_hold_every_question_once():
    paged = [question.key for page in PAGES for question in on_page(page)]
    assert sorted(paged) == sorted(BY_KEY)
    assert paged == [question.key for question in QUESTIONS], "a question stands among those of its page"
    full = [page for page in PAGES if len(on_page(page)) > MOST_ON_A_PAGE]
    assert not full, f"more than {MOST_ON_A_PAGE} questions on {full}: choose another page, or take one away"
    assert all(on_page(page) for page in PAGES)


def test_a_question_is_worth_asking_a_rule_reads_its_fact():
    asked = {key for key in BY_KEY if "." in key}
    unread = asked & set(unread_facts(load_rule_book()))
    assert not unread, f"no rule reads {unread}: add the rule that does, or do not ask"


def test_every_question_is_a_flag_that_reaches_its_key():
    parser = Parser(prog="sft-advisor")
    add_question_flags(parser)
    given = {question.key: "x" for question in QUESTIONS}
    arguments = [part for question in QUESTIONS for part in (question.flag, "x")]
    [layer] = question_layers(parser.parse(arguments))
    assert layer.raw == given


def test_a_default_is_a_value_that_its_own_question_accepts():
    from advisor.ask.answers import parse_value

    for question in QUESTIONS:
        if question.default is not None:
            assert parse_value(question, question.default) == question.default
        if question.example:
            assert parse_value(question, question.example) is not None


def test_defaults_come_from_the_dataset_when_there_is_one():
    measured = Measured(data=dataset())
    assert BY_KEY["data.kind"].proposal({}, measured) == Suggestion("chat", "dataset")
    assert BY_KEY["data.kind"].proposal({}, Measured()) is None
    assert BY_KEY["data.has_eval"].proposal({}, measured) is None  # the fixture has no evaluation part
    assert not BY_KEY["data.examples"].applies({"dataset": "chats.jsonl"})
    assert BY_KEY["data.examples"].applies({})


def test_defaults_follow_other_answers():
    assert BY_KEY["storage.variants"].proposal({"task.count": 7}, Measured()) == Suggestion(7)
    assert BY_KEY["deploy.artifact"].proposal({"task.switch_per_request": True}, Measured()) == Suggestion("adapters")
    assert isinstance(Measured(data=dataset()).data, DatasetProfile)
