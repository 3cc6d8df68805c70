"""Run a scenario through the whole advisor: its answers in, what differs from the expert's answer out.

The same function serves the tests and `sft-advisor rules scenario FILE`.
"""

from __future__ import annotations

from typing import Any

from advisor.ask.answers import Layer, resolve
from advisor.decide.recommendation import Candidate, Recommendation
from rules.engine import RuleBook
from rules.scenario import Answered, Scenario, differences


def run_scenario(scenario: Scenario, book: RuleBook) -> tuple[str, ...]:
    """Everything in which the advice differs from what was expected; empty when it agrees.

    Raises InputError when an answer of the scenario cannot be used.
    """
    return differences(scenario, answered(recommendation_for(scenario, book)), book)


def recommendation_for(scenario: Scenario, book: RuleBook) -> Recommendation:
    """What the advisor says to the scenario's answers, with its facts added to what is known."""
    from advisor.decide.advise import advise
    from advisor.model import resolve_model
    from advisor.probe import hardware_from_text

    answers = resolve(Layer("file", scenario.answers, scenario.name))
    return advise(
        answers.values | scenario.facts,
        hardware_from_text(answers.values.get("hardware", "cpu")),
        resolve_model(answers.values["model"]),
        None,
        book,
        origins=answers.origins,
        search_changes=False,
    )


def answered(result: Recommendation) -> Answered:
    """The recommendation as far as a scenario looks at it."""
    candidates = [*([result.best] if result.best else []), *result.alternatives, *result.rejected]
    shown = candidates[0]
    return Answered(
        verdict=result.verdict,
        method=result.best.method if result.best else None,
        settings=_settings(shown),
        fired={trace.rule_id for candidate in candidates for trace in _fired(candidate)}
        | {trace.rule_id for trace in result.traces if trace.outcome == "fires"}
        | {gate.rule_id for gate in result.gates},
    )


def _settings(candidate: Candidate) -> dict[str, Any]:
    import msgspec

    plan = candidate.plan
    on_the_way = {field: value for trace in candidate.settings for field, value in trace.sets.items()}
    return {**on_the_way, **msgspec.to_builtins(plan), "global_batch_size": plan.global_batch_size}


def _fired(candidate: Candidate) -> list[Any]:
    traces = (*candidate.vetoes, *candidate.reasons, *candidate.warnings, *candidate.settings)
    return [trace for trace in traces if trace.outcome == "fires"]
