"""Out of memory, nothing left to lower: the same task by the next method that fits, in a run folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from advisor.commands.output import remark

if TYPE_CHECKING:
    from advisor.recommendation import Candidate, Recommendation
    from trainers.plan import TrainingPlan


def watch_through(run_dir: Path, carry_out: Callable[..., int]) -> int:
    """Watch a run, and those that follow it where it gave up for want of memory; gives the last exit code."""
    from advisor.commands.runs import watch
    from trainers.exit_codes import OUT_OF_MEMORY

    code = watch(run_dir, carry_out)
    followed = go_on(run_dir) if code == OUT_OF_MEMORY else None
    return code if followed is None else followed


def go_on(run_dir: Path) -> int | None:
    """Launch what follows the run that gave up here, and say so; None when no other method fits.

    The folder of the first run stays as it is; its events name where it went on.
    """
    from advisor.commands.launch import launch_plan
    from trainers.events import append_event

    found = next_plan(run_dir)
    if found is None:
        return None
    plan, recommendation = found
    folder = run_dir.with_name(f"{run_dir.name}-{plan.method}")
    said = f"the next method that fits is {plan.method}: it goes on in {folder}"
    remark(said)
    append_event(run_dir, "next_method", said=said)
    return launch_plan(plan, run_dir=folder, allow=("all",), recommendation=recommendation)


def next_plan(run_dir: Path) -> tuple[TrainingPlan, Recommendation] | None:
    """The plan of the first method after the run's own that is predicted to fit and that no rule forbids."""
    from trainers.backoff import NEXT_METHOD
    from trainers.plan import load_plan

    plan = load_plan(run_dir / "plan.toml")
    if plan.num_nodes > 1:
        return None  # each node would choose for itself
    recommendation = _recommendation(run_dir, plan)
    method = NEXT_METHOD[plan.method]
    while method is not None:
        for candidate in candidates(recommendation):
            if candidate.method == method and candidate.fits and not candidate.vetoes:
                return msgspec.structs.replace(candidate.plan, dataset=plan.dataset), recommendation
        method = NEXT_METHOD[method]
    return None


def candidates(recommendation: Recommendation) -> list[Candidate]:
    """Every plan that was judged, the best first."""
    best = [recommendation.best] if recommendation.best else []
    return [*best, *recommendation.alternatives, *recommendation.rejected]


def _recommendation(run_dir: Path, plan: TrainingPlan) -> Recommendation:
    """What was recommended when the run began; for a bare plan, what is recommended for its model and data now."""
    from advisor.recommendation import Recommendation

    try:
        return msgspec.json.decode((run_dir / "recommendation.json").read_bytes(), type=Recommendation)
    except (OSError, msgspec.DecodeError):
        return _advised_anew(plan)


def _advised_anew(plan: TrainingPlan) -> Recommendation:
    """Advice for the plan's model and data, keeping what the plan says of the task; deployment is not known."""
    from advisor.answers import Layer
    from advisor.commands.measure import gather, recommend
    from rules.engine import load_rule_book

    answers = {"model": plan.model.name, "output": plan.output_dir}
    if plan.dataset is not None:
        answers["dataset"] = plan.dataset.source
    if plan.accelerator == "cpu":
        answers["hardware"] = "cpu"
    return recommend(gather([Layer("flag", answers)]), load_rule_book(), _kept(plan), search_changes=False)


def _kept(plan: TrainingPlan) -> dict[str, object]:
    """What a bare plan says of the task itself, whichever method carries it out."""
    names = ("max_seq_len", "loss_on", "num_epochs", "max_steps", "seed", "save_steps", "eval_steps", "logging_steps")
    return {name: value for name in names if (value := getattr(plan, name)) is not None}
