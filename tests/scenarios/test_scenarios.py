"""Every scenario file, put to the whole advisor: an expert's answer against ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.advise import advise
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.recommendation import Recommendation
from rules.engine import RuleBook, load_rule_book
from rules.scenario import NOT_FACTS, Answered, differences, load_scenario

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return load_rule_book()


def answered(recommendation: Recommendation) -> Answered:
    candidates = [recommendation.best, *recommendation.alternatives, *recommendation.rejected]
    known = [candidate for candidate in candidates if candidate is not None]
    shown = known[0]
    settings = {name: getattr(shown.plan, name) for name in shown.plan.__struct_fields__}
    settings |= {"artifact": shown.plan.delivery.artifact, "weights": shown.plan.delivery.weights}
    settings |= {
        field: value for trace in shown.settings for field, value in trace.sets.items() if field not in settings
    }
    settings["global_batch_size"] = shown.plan.global_batch_size
    fired = {trace.rule_id for trace in (*recommendation.traces, *recommendation.gates) if trace.outcome == "fires"}
    for candidate in known:
        traces = (*candidate.vetoes, *candidate.reasons, *candidate.warnings, *candidate.settings)
        fired |= {trace.rule_id for trace in traces if trace.outcome == "fires"}
    method = recommendation.best.method if recommendation.best else None
    return Answered(verdict=recommendation.verdict, method=method, settings=settings, fired=fired)


def model_name(text: str) -> str:
    """A folder of this repository, or a name of the catalogue."""
    return str(ROOT / text) if (ROOT / text).is_dir() else text


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_advice_is_what_an_expert_would_say(path: Path, book: RuleBook) -> None:
    scenario = load_scenario(path)
    answers = scenario.answers | scenario.facts
    facts = {key: value for key, value in answers.items() if key not in NOT_FACTS}
    recommendation = advise(
        facts,
        hardware_from_text(answers["hardware"]),
        resolve_model(model_name(answers["model"])),
        None,
        book,
        search_changes=False,
    )
    assert differences(scenario, answered(recommendation), book) == ()
