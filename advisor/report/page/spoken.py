"""The rules that spoke for an answer, each once, with their sources as links; and why each setting has its value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from advisor.base.language import tr
from advisor.decide.reasons import CHOSEN_BY
from advisor.decide.recommendation import Recommendation
from advisor.report.page.bars import compared
from advisor.report.plan import plan_groups
from advisor.report.topics import SETTINGS, setting_texts
from rules.engine import Trace
from rules.rule import Source
from trainers.plan import TrainingPlan

SENTENCE_END = re.compile(r"(?<=[.;:]) |(?<=[。；：])")


class Cited(NamedTuple):
    """One source: its key, its title, and its address where it has one that a browser may open."""

    key: str
    title: str
    url: str


class Setting(NamedTuple):
    """One row of the plan."""

    field: str
    value: str
    set_by: str
    reason: str
    """Half a line: what the rule said, or how the search chose."""
    meaning: str
    """What the field is."""


def spoken(result: Recommendation) -> dict[str, Trace]:
    """Rule id -> what it said, for every rule that fired on any of the compared plans."""
    fired = {trace.rule_id: trace for trace in _fired(result)}
    return {rule_id: fired[rule_id] for rule_id in sorted(fired)}


def _fired(result: Recommendation) -> Iterator[Trace]:
    """Those of the advised plan come last, so that its words win over those of the others."""
    for candidate in reversed(compared(result)):
        yield from (*candidate.vetoes, *candidate.reasons, *candidate.warnings)
        if candidate is result.best:
            yield from (trace for trace in candidate.settings if trace.sets)
    yield from (trace for trace in result.traces if trace.outcome == "fires" and trace.effect != "set")
    yield from result.gates


def cited(keys: tuple[str, ...], sources: Mapping[str, Source]) -> list[Cited]:
    """The sources of a rule. An address that is not of the web is not made a link: a rule may be a stranger's."""
    found = [(key, sources.get(key)) for key in keys]
    return [
        Cited(key, source.title if source else key, source.url if source and _is_web(source.url) else "")
        for key, source in found
    ]


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def settings(plan: TrainingPlan, said: Mapping[str, Trace]) -> list[tuple[str, list[Setting]]]:
    """The plan in its groups, each value with its reason."""
    meanings = {name: tr(setting_texts(name)[0]) for name in SETTINGS}
    return [
        (
            group,
            [
                Setting(
                    field=row.field,
                    value=row.value,
                    set_by=row.set_by,
                    reason=_reason(row.set_by, said),
                    meaning=_first_sentence(meanings.get(row.field, "")),
                )
                for row in rows
            ],
        )
        for group, rows in plan_groups(plan)
        if rows
    ]


def _reason(set_by: str, said: Mapping[str, Trace]) -> str:
    trace = said.get(set_by)
    return trace.message if trace else _first_sentence(tr(CHOSEN_BY.get(set_by, "")))


def _first_sentence(text: str) -> str:
    return SENTENCE_END.split(text)[0].rstrip(";:；：")
