"""What comes after the run: how to judge it, what it may have cost elsewhere, and which stage learns more.

    two scores over the same n questions differ for sure from      d = 1.96 * sqrt(q / n)
    so that d points are told apart by                             n = q * (1.96 / d)^2

q is the share of questions that one model answers rightly and the other wrongly (McNemar's test, 95 %); with
questions of its own for each model 2 p (1 - p) takes its place, which is the larger.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.decide.facts import Facts
from trainers.plan import TrainingPlan
from trainers.plan_parts import EVAL_FRACTION

CONFIDENCE = 1.96
"""Standard errors either side that hold 95 % of a normal distribution."""
DISAGREEING_SHARE = 0.2
"""Of the questions, those that a base and its tune answer differently: cautious for a tune that helps."""
POINTS_APART = 0.02
FEW_ITEMS = 30
"""Below it the normal approximation says nothing."""
RETENTION_TASKS = {"math": "ifeval,mmlu", "code": "ifeval,mmlu", "long_cot": "ifeval,mmlu"}
"""Benchmarks outside the task, by what was trained; for all other kinds grade-school mathematics is one more."""


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do once the run has ended."""

    what: str
    """What to do, with the figures that say why."""
    command: str = ""
    """What to type, where there is a command for it."""


def items_to_tell_apart(difference: float, disagreeing: float = DISAGREEING_SHARE) -> int:
    """Questions that tell two models apart whose accuracies differ by `difference` (0.02: two points)."""
    return math.ceil(disagreeing * (CONFIDENCE / difference) ** 2)


def difference_told(items: int, disagreeing: float = DISAGREEING_SHARE) -> float:
    """The smallest difference in accuracy that `items` questions tell for sure."""
    return CONFIDENCE * math.sqrt(disagreeing / items)


def next_steps(facts: Facts, plan: TrainingPlan) -> tuple[NextStep, ...]:
    """Evaluation, retention, more data: in the order in which they are done."""
    return (_evaluation(facts, plan), _retention(facts, plan), _more_data(facts))


def _kept_back(facts: Facts, plan: TrainingPlan) -> int | None:
    examples: Any = facts.get("data.examples")
    share = plan.dataset.eval_fraction if plan.dataset is not None else EVAL_FRACTION
    if examples is None or facts.get("data.has_eval"):
        return None
    return int(examples * share)


def _evaluation(facts: Facts, plan: TrainingPlan) -> NextStep:
    needed = items_to_tell_apart(POINTS_APART)
    sentence = tr(
        "Ask base and tuned model the same {needed} questions to tell 2 points apart: n = q (1.96 / d)^2, with q = "
        "{q} of them answered differently.",
        needed=f"{needed:,}",
        q=f"{DISAGREEING_SHARE:.0%}",
    )
    items = _kept_back(facts, plan)
    if items is not None and items >= FEW_ITEMS:
        sentence += " " + tr(
            "The {items} kept back tell {points} points.",
            items=f"{items:,}",
            points=f"{100 * difference_told(items):.1f}",
        )
    elif items is not None:
        sentence += " " + tr("The {items} kept back tell nothing for sure: write more.", items=items)
    return NextStep(what=sentence, command="sft-advisor runs report RUN_DIR")


def _retention(facts: Facts, plan: TrainingPlan) -> NextStep:
    tasks = RETENTION_TASKS.get(facts.get("data.kind") or "", "ifeval,mmlu,gsm8k")
    adapter = plan.method in ("lora", "qlora")
    model = f"pretrained={plan.model.name},peft=RESULT" if adapter else "pretrained=RESULT"
    return NextStep(
        what=tr(
            "What was forgotten shows on questions outside the task: score the base and the result on {tasks} "
            "(IFEval has 541 prompts: about {points} points).",
            tasks=tasks.replace(",", ", "),
            points=f"{100 * difference_told(541):.0f}",
        ),
        command=f"lm_eval --model hf --model_args {model} --tasks {tasks}",
    )


def _more_data(facts: Facts) -> NextStep:
    if facts.get("task.feedback") in ("pairs", "ratings", "checker", "teacher"):
        return NextStep(
            what=tr("The next stage learns from what tells good answers from bad ones; see the warnings.")
        )
    return NextStep(
        what=tr(
            "Train on a quarter and on half of the examples too: where each doubling still gains as much as the "
            "last, more examples help more than another method; where it no longer does, look at the wrong answers "
            "one by one."
        )
    )
