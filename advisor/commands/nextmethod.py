"""Out of memory, nothing left to lower: the same task by the next method that fits, in a run folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trainers.run_folder import layout

if TYPE_CHECKING:
    from advisor.decide.recommendation import Candidate, Recommendation
    from trainers.plan import TrainingPlan


def next_plan(run_dir: Path) -> tuple[TrainingPlan, Recommendation] | None:
    """The plan of the first method after the run's own that is predicted to fit and that no rule forbids."""
    from trainers.method import METHODS
    from trainers.plan import load_plan

    plan = load_plan(run_dir / layout.PLAN)
    if plan.num_nodes > 1:
        return None  # each node would choose for itself
    recommendation = _recommendation(run_dir, plan)
    method = METHODS[plan.method].next_in_need
    while method is not None:
        for candidate in candidates(recommendation):
            if candidate.method == method and candidate.fits and not candidate.vetoes:
                return msgspec.structs.replace(candidate.plan, dataset=plan.dataset), recommendation
        method = METHODS[method].next_in_need
    return None


def candidates(recommendation: Recommendation) -> list[Candidate]:
    """Every plan that was judged, the best first."""
    best = [recommendation.best] if recommendation.best else []
    return [*best, *recommendation.alternatives, *recommendation.rejected]


def _recommendation(run_dir: Path, plan: TrainingPlan) -> Recommendation:
    """What was recommended when the run began; for a bare plan, what is recommended for its model and data now."""
    from advisor.decide.recommendation import Recommendation

    try:
        return msgspec.json.decode((run_dir / layout.RECOMMENDATION).read_bytes(), type=Recommendation)
    except (OSError, msgspec.DecodeError):
        return advised_anew(plan)


def advised_anew(plan: TrainingPlan) -> Recommendation:
    """Advice for the plan's model and data, keeping what the plan says of the task; deployment is not known."""
    from advisor.ask.answers import Layer
    from advisor.commands.measure import gather, named_dataset, recommend
    from advisor.commands.rulebook import read_rule_book

    answers = {"model": plan.model.name, "output": plan.output_dir}
    if plan.dataset is not None:
        answers |= named_dataset(plan.dataset)
    if plan.accelerator == "cpu":
        answers["hardware"] = "cpu"
    return recommend(gather([Layer("flag", answers)]), read_rule_book(), _kept(plan), search_changes=False)


def _kept(plan: TrainingPlan) -> dict[str, object]:
    """What a bare plan says of the task itself, whichever method carries it out."""
    names = (
        "max_seq_len",
        "loss_on",
        "leave_out",
        "num_epochs",
        "max_steps",
        "seed",
        "save_steps",
        "eval_steps",
        "logging_steps",
    )
    return {name: value for name in names if (value := getattr(plan, name)) is not None}
