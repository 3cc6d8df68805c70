"""The live sheet: every question with its answer, and the advice judged again at each change. Nothing is drawn here.

sheet = Sheet(given, judged)
wanted = sheet.change(+1)          # answers to judge; then sheet.take(judged) or sheet.refuse(problem)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from advisor.ask.answers import Answers, parse_value
from advisor.ask.question import Measured, Question
from advisor.ask.questions import QUESTIONS
from advisor.base.errors import Problem
from advisor.base.language import tr
from advisor.report import words

if TYPE_CHECKING:
    from advisor.decide.recommendation import Recommendation


class Judged(NamedTuple):
    """Answers, completed, and what comes of them."""

    given: Answers
    """What was said, nothing filled in."""
    answers: Answers
    measured: Measured
    result: Recommendation


Judge = Callable[[Answers], Judged]
"""Decides what comes of answers. Raises AdvisorError where they name what cannot be used."""
Effects = Callable[[Judged, Question], Mapping[str, str]]
"""Answer -> what it would change, for one question."""


class Sheet:
    """Which question is pointed at, what was answered, what is being typed, what came of it and of it before."""

    def __init__(self, judged: Judged) -> None:
        self.given = judged.given
        self.judged = judged
        self.before: Recommendation | None = None
        self.at = 0
        self.typed: str | None = None
        """What is being written; None: nothing is."""
        self.problems: Sequence[Problem] = ()
        self.shows_help = False
        self.effects: dict[str, Mapping[str, str]] = {}
        """Question -> what its answers would change, as far as it was tried since the last change."""

    @property
    def questions(self) -> list[Question]:
        """Those that apply to what was answered."""
        values = self.judged.answers.values
        return [question for question in QUESTIONS if question.applies(values)]

    @property
    def question(self) -> Question:
        """The one that is pointed at."""
        shown = self.questions
        return shown[min(self.at, len(shown) - 1)]

    def would_count(self, question: Question) -> bool:
        """Whether rules asked for an answer that nobody has given."""
        return question.key in self.judged.result.unknown_facts or bool(self.effects.get(question.key))

    def value(self, question: Question) -> str:
        """The answer; in brackets what counts as long as none was given."""
        if question.key in self.given.values:
            return words.answer(question.key, self.given.values[question.key])
        if question.key == "hardware":
            return tr("(this machine)")
        known = self.judged.answers.get(question.key)
        if known is None:
            return tr("(open)")
        return tr("({answer})", answer=words.answer(question.key, known))

    def choices(self, question: Question) -> list[Any]:
        """What can be answered by turning, None for open; [] for what is written."""
        if question.kind not in ("choice", "bool"):
            return []
        return [None, *((True, False) if question.kind == "bool" else question.choices)]

    def move(self, by: int) -> None:
        """Point `by` questions further down, what was being written left as it was."""
        self.typed, self.problems, self.shows_help = None, (), False
        self.at = max(0, min(self.at + by, len(self.questions) - 1))

    def move_to_one_that_counts(self) -> None:
        """Point at the next question whose answer would count, from the top again after the last."""
        shown = self.questions
        order = [*range(self.at + 1, len(shown)), *range(self.at + 1)]
        self.move(next((place for place in order if self.would_count(shown[place])), self.at) - self.at)

    def turn(self, by: int) -> Answers | None:
        """The next (or last) of the answers to choose from; None where the answer is written."""
        if not (choices := self.choices(self.question)):
            return None
        place = choices.index(self.given.values.get(self.question.key))
        return self._with(choices[(place + by) % len(choices)])

    def write(self, text: str) -> None:
        """Add to what is being written; "\\b" takes its last letter away."""
        if self.choices(self.question):
            return
        written = self.typed or ""
        self.typed = written[:-1] if text == "\b" else written + text
        self.problems = ()

    def paste(self, text: str) -> None:
        """The first line of what the clipboard held."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        self.write("".join(letter for letter in (lines[0] if lines else "") if letter.isprintable()))

    def enter(self) -> Answers | None:
        """Take what was written, or begin to write; the answers then, None where there is nothing to judge."""
        if self.choices(self.question):
            return self.turn(+1)
        if self.typed is None:
            self.typed = str(self.given.values.get(self.question.key, ""))
            return None
        text, self.typed = self.typed.strip(), None
        if not text:
            return self.leave_open()
        try:
            return self._with(parse_value(self.question, text))
        except ValueError as error:
            self.typed, self.problems = text, (Problem(what=str(error)),)
            return None

    def leave_open(self) -> Answers | None:
        """Take the answer back; None where there is none, or one is needed."""
        if self.question.key not in self.given.values:
            return None
        if self.question.required:
            self.problems = (Problem(what=tr("{question} has to be answered.", question=tr(self.question.prompt))),)
            return None
        return self._with(None)

    def take(self, judged: Judged) -> None:
        """What came of the answers."""
        here = self.question.key
        self.before, self.judged, self.effects = self.judged.result, judged, {}
        keys = [question.key for question in self.questions]
        self.at = keys.index(here) if here in keys else min(self.at, len(keys) - 1)

    def refuse(self, problems: Sequence[Problem]) -> None:
        """The answers name what cannot be used: they are again what was judged last."""
        self.given, self.problems = self.judged.given, problems

    def effect_of(self, value: Any) -> str:
        """What an answer to the question that is pointed at would change; empty where nothing, or not tried."""
        return self.effects.get(self.question.key, {}).get(words.answer(self.question.key, value), "")

    def _with(self, value: Any) -> Answers | None:
        key = self.question.key
        said, origins = dict(self.given.values), dict(self.given.origins)
        if said.get(key) == value:
            return None
        said.pop(key, None)
        origins.pop(key, None)
        if value is not None:
            said[key], origins[key] = value, "prompt"
        self.given, self.problems = Answers(values=said, origins=origins), ()
        return self.given


def shown_first(num_rows: int, at: int, height: int, top: int) -> int:
    """The first row of a window of `height` rows that holds the row `at`, moved no further than needed from `top`."""
    return max(0, min(max(at - height + 1, min(top, at)), num_rows - height))
