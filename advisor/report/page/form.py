"""The question table as a form: three questions first, then those that would change this answer, then the rest."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import NamedTuple

from advisor.ask.answers import Answers
from advisor.ask.question import FIRST, PAGES, Measured, Question
from advisor.ask.questions import BY_KEY, QUESTIONS
from advisor.base.errors import Problem
from advisor.base.language import tr
from advisor.report import words

Raw = Mapping[str, str]
"""Answers as they were typed, by the key of their question."""


class Field(NamedTuple):
    """One question with what is known of its answer."""

    key: str
    kind: str
    prompt: str
    help: str
    why: str
    typed: str
    """What was typed or chosen here; empty where the question is open."""
    open_as: str
    """What counts as long as it is open: the proposal and where it comes from, or that it is not known."""
    example: str
    choices: tuple[tuple[str, str], ...]
    """Value and meaning; empty for what is typed."""
    problems: tuple[Problem, ...]


class Group(NamedTuple):
    """Questions that stand together."""

    title: str
    note: str
    fields: tuple[Field, ...]


class Form(NamedTuple):
    """Everything that can be answered."""

    first: tuple[Field, ...]
    matters: tuple[Field, ...]
    """Those that would change this answer, and those that were answered."""
    rest: tuple[Group, ...]


def form(
    raw: Raw, given: Answers, measured: Measured, matter: Collection[str], problems: Mapping[str, list[Problem]]
) -> Form:
    """The form as it stands; `matter` are the questions whose answer is not known and would count."""

    def fields(questions: Collection[Question]) -> tuple[Field, ...]:
        return tuple(_field(question, raw, given, measured, problems.get(question.key, [])) for question in questions)

    shown = [one for one in QUESTIONS if one.key not in FIRST and _is_shown(one, raw, given, problems)]
    first_hand = [one for one in shown if one.key in matter or one.key in raw or one.key in problems]
    rest = [one for one in shown if one not in first_hand]
    return Form(
        first=fields([BY_KEY[key] for key in FIRST]),
        matters=fields(first_hand),
        rest=tuple(
            Group(tr(title), "", fields(on_page))
            for page, title in PAGES.items()
            if (on_page := [one for one in rest if one.page == page])
        ),
    )


def _is_shown(question: Question, raw: Raw, given: Answers, problems: Mapping[str, list[Problem]]) -> bool:
    """A question is asked where it applies; the columns of a dataset where it cannot be read without them."""
    if question.key in raw or question.applies(given.values):
        return True
    told = [problem.fix for problem in problems.get("dataset", ())]
    return question.key == "map" and any("--map" in fix for fix in told)


def _field(question: Question, raw: Raw, given: Answers, measured: Measured, problems: list[Problem]) -> Field:
    return Field(
        key=question.key,
        kind=question.kind,
        prompt=tr(question.prompt),
        help=tr(question.help),
        why=tr(question.why),
        typed=raw.get(question.key, ""),
        open_as=_open_as(question, given, measured),
        example=question.example,
        choices=_choices(question),
        problems=tuple(problems),
    )


def _choices(question: Question) -> tuple[tuple[str, str], ...]:
    if question.kind == "bool":
        return (("", tr("open")), ("yes", tr("yes")), ("no", tr("no")))
    return tuple((value, f"{value}: {tr(meaning)}") for value, meaning in question.choices.items())


def _open_as(question: Question, given: Answers, measured: Measured) -> str:
    proposal = question.proposal(given.values, measured)
    if question.key == "hardware":
        return tr("this machine")
    if proposal is None:
        return tr("none") if question.page in ("what", "wishes") else tr("not known")
    value = words.answer(question.key, proposal.value)
    if proposal.origin == "default":
        return value
    return f"{value} ({tr(words.ORIGIN_NAMES[proposal.origin])})"


def applied(raw: Raw, flags: str) -> dict[str, str] | None:
    """The answers with what `flags` ("--task-priority cost --data-examples 5000") says; None where it says more."""
    try:
        words_of = shlex.split(flags)
    except ValueError:
        return None
    keys = {question.flag: question.key for question in QUESTIONS}
    names, values = words_of[::2], words_of[1::2]
    if not names or len(names) != len(values) or not all(name in keys for name in names):
        return None
    return {**raw, **{keys[name]: value for name, value in zip(names, values, strict=True)}}
