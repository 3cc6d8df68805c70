"""Which open questions would change this answer, and what each of their answers would do.

Each answer that could be given is judged as if it had been, over the same machine, model and data, so that what is
said of it is what would come out. Not tried: questions whose answers are numbers or names, and wishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from advisor.ask.answers import Answers
from advisor.ask.question import Question
from advisor.ask.questions import QUESTIONS
from advisor.base.language import tr
from advisor.commands.measure import Request, recommend
from advisor.report.words import answer as spoken
from trainers.method import METHODS

if TYPE_CHECKING:
    from advisor.decide.recommendation import Recommendation
    from rules.engine import RuleBook

ARROW = "→"
"""Between the old and the new value of a setting."""
MOST_SETTINGS = 3
"""Settings that are named of all that differ."""
UNSAID = ("schema", "set_by", "made_for", "predicted_peak_bytes", "predicted_seconds", "delivery", "dataset", "model")
"""Fields of a plan that are no settings."""


def open_effects(request: Request, result: Recommendation, book: RuleBook) -> dict[str, dict[str, str]]:
    """Key of a question that nobody has answered -> answer -> what it would change, in words.

    Answers that change nothing are left out, and so are questions without others. What leads to another method or
    verdict comes first.
    """
    tried = {question.key: effects_of(question, request, result, book) for question in QUESTIONS}
    found = {key: effects for key, effects in tried.items() if effects}
    return dict(sorted(found.items(), key=lambda each: all(ARROW in change for change in each[1].values())))


def effects_of(question: Question, request: Request, result: Recommendation, book: RuleBook) -> dict[str, str]:
    """Answer -> what it would change, in words; {} where none would, or none was tried."""
    return {
        spoken(question.key, value): change
        for value in _other_answers(question, request)
        if (change := difference(result, _judged(request, question.key, value, book)))
    }


def _other_answers(question: Question, request: Request) -> Iterator[Any]:
    """What else could be answered; of a yes or no that is open only yes, because no is what open counts as."""
    answers = request.answers
    if question.page == "wishes" or question.key in answers.explicit or not question.applies(answers.values):
        return
    now = answers.get(question.key)
    possible = (True, False) if question.kind == "bool" else tuple(question.choices)
    yield from (value for value in possible if value != now and not (now is None and value is False))


def _judged(request: Request, key: str, value: Any, book: RuleBook) -> Recommendation:
    answers = request.answers
    changed = Answers(values={**answers.values, key: value}, origins={**answers.origins, key: "prompt"})
    return recommend(msgspec.structs.replace(request, answers=changed), book, search_changes=False)


def difference(before: Recommendation, after: Recommendation) -> str:
    """What `after` says that `before` did not, in a few words; empty where the answer is the same."""
    if after.verdict != before.verdict:
        return tr(after.verdict.replace("_", " "))
    if before.best is None or after.best is None:
        return ""
    if after.best.method != before.best.method:
        return tr(METHODS[after.best.method].title)
    old, new = msgspec.to_builtins(before.best.plan), msgspec.to_builtins(after.best.plan)
    names = [name for name in new if name not in UNSAID and old.get(name) != new[name]]
    said = [f"{name} {_short(old.get(name))} {ARROW} {_short(new[name])}" for name in names[:MOST_SETTINGS]]
    more = len(names) - len(said)
    return ", ".join(said) + (tr(" and {count} more settings", count=more) if more else "")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else tr("none") if value is None else str(value)
