"""What the page shows of an answer, worked out in a worker process: answers as typed -> HTML.

Each function takes and returns what can be sent between processes. What was measured for a page stays measured for
that page: `look` names the look at machine, model and data, and a page that is loaded anew takes a new one.
"""

from __future__ import annotations

import signal
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from advisor.ask.answers import Answers, Layer, complete, parse
from advisor.ask.question import Measured
from advisor.base import language
from advisor.base.errors import AdvisorError, Problem
from advisor.commands.measure import Measurements, Request, recommend
from advisor.report.page.form import applied, form

if TYPE_CHECKING:
    from advisor.decide.recommendation import Recommendation
    from advisor.report.page.answer import Part
    from advisor.report.page.frame import Frame
    from rules.engine import RuleBook

MOST_LOOKS = 16
MOST_PAGES = 256
"""Answers that were worked out already and are kept, so that going back and forth costs nothing."""


class Asked(NamedTuple):
    """One request for an answer."""

    typed: tuple[tuple[str, str], ...]
    """Key and value of each answer, as typed, in the order of the questions."""
    look: str
    """The name of the look at machine, model and data."""
    lang: str


class Shown(NamedTuple):
    """Two parts of the page."""

    form: str
    answer: str
    is_answer: bool
    """Whether there is more to it; not where something is wrong or missing."""


class Seen(NamedTuple):
    """What answers name, as far as it could be looked up."""

    given: Answers
    measured: Measured
    problems: dict[str, list[Problem]]


_LOOKS: OrderedDict[str, Measurements] = OrderedDict()


def prepare() -> None:
    """Make a worker ready: Ctrl-C is for the server, which ends its workers, and a worker ends with it."""
    from advisor.base.sandbox import end_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


@lru_cache(MOST_PAGES)
def answer(asked: Asked) -> Shown:
    """The form and what the answer is decided by."""
    speak(asked.lang)
    raw, seen = dict(asked.typed), see(asked)
    result = None if seen.problems or "model" not in seen.given.values else decided(seen, asked.lang)
    matter = result.unknown_facts if result else ()
    shown_form = rendered("ui/form.html", form=form(raw, seen.given, seen.measured, matter, seen.problems))
    if result is None:
        return Shown(shown_form, rendered("ui/open.html", problems=_fixes(raw, seen.problems)), False)
    return Shown(shown_form, _answer(result, asked, "first"), True)


def whole(asked: Asked, frame: Frame) -> str:
    """The page of advice, with names to choose from."""
    from advisor.model.catalog import catalog_names
    from advisor.probe.catalogue import cards

    shown = answer(asked)
    return rendered(
        "ui/advise.html",
        frame=frame,
        look=asked.look,
        shown=shown,
        offered={"model": catalog_names(), "hardware": [card.label for card in cards()]},
    )


@lru_cache(MOST_PAGES)
def more(asked: Asked) -> str:
    """What would change the answer, and what it rests on; kept for `explain last`."""
    from advisor.commands.last import remember

    speak(asked.lang)
    seen = see(asked)
    if seen.problems or "model" not in seen.given.values:
        return ""
    result = decided(seen, asked.lang, search_changes=True)
    remember(result)
    return _answer(result, asked, "more")


def speak(lang: str) -> None:
    """The language of what is said from now on in this worker."""
    if language.current() != lang:
        language.use(lang)


def see(asked: Asked) -> Seen:
    """Parse the answers one by one and look up what they name; each problem under the question that it is of."""
    raw = dict(asked.typed)
    problems = {key: found for key in raw if (found := parse(Layer("flag", {key: raw[key]}))[1])}
    good = {key: value for key, value in raw.items() if key not in problems}
    given, _ = parse(Layer("flag", good))
    measurements, measured = _measurements(asked.look), Measured()
    for name, key in (("hardware", "hardware"), ("model", "model"), ("data", "dataset")):
        if key in problems or (key != "hardware" and key not in given.values):
            continue
        values = {known: value for known, value in given.values.items() if known not in problems}
        try:
            setattr(measured, name, getattr(measurements, name)(values))
        except AdvisorError as error:
            known = [problem for others in problems.values() for problem in others]
            if new := [problem for problem in error.problems if problem not in known]:
                problems[key] = new
    return Seen(given, measured, problems)


def decided(seen: Seen, lang: str, search_changes: bool = False) -> Recommendation:
    """The recommendation for what was seen; nothing may be missing."""
    if seen.measured.hardware is None or seen.measured.model is None:
        raise AssertionError("decided without a machine or a model")
    request = Request(
        answers=complete(seen.given, seen.measured),
        hardware=seen.measured.hardware,
        model=seen.measured.model,
        data=seen.measured.data,
    )
    return recommend(request, book(lang), search_changes=search_changes)


@lru_cache
def book(lang: str) -> RuleBook:
    """The rules, with their sentences in this language."""
    from advisor.commands.rulebook import read_rule_book

    speak(lang)
    return read_rule_book()


def _measurements(look: str) -> Measurements:
    found = _LOOKS.pop(look, None) or Measurements()
    _LOOKS[look] = found
    while len(_LOOKS) > MOST_LOOKS:
        _LOOKS.popitem(last=False)
    return found


def _answer(result: Recommendation, asked: Asked, part: Part) -> str:
    from advisor.commands.map import map_around
    from advisor.report.page.answer import Links, context

    raw = dict(asked.typed)
    links = Links(lambda flags: _address(raw, flags), lambda topic: f"/explain?{urlencode({'topic': topic})}")
    found = map_around(result, book(asked.lang)) if part == "more" else None
    shown = context(result, book(asked.lang), part, links, found)
    return rendered("answer.html", **shown) + rendered("ui/onwards.html", part=part, query=query_of(asked), r=result)


def query_of(asked: Asked) -> str:
    """The answers as they stand in an address."""
    return urlencode(asked.typed)


def _address(raw: dict[str, str], flags: str) -> str:
    """The page with these flags as further answers; nothing where they are more than answers."""
    changed = applied(raw, flags)
    return f"/?{urlencode(changed)}" if changed else ""


def _fixes(raw: dict[str, str], problems: dict[str, list[Problem]]) -> list[tuple[Problem, str]]:
    """Each problem, with the address where its way out is applied."""
    return [(problem, _address(raw, problem.fix)) for found in problems.values() for problem in found]


def rendered(template: str, **values: Any) -> str:
    """A template, filled."""
    from advisor.report.page.environment import environment

    return environment().get_template(template).render(values)
