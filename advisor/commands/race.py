"""Tries a plan at a third, once and three times its learning rate on your data, with equal budgets, and says who won.

Each trial is an ordinary run, which `runs` lists; the same command again goes on where it was stopped.
sft-advisor race PLAN.toml --sweep learning_rate --run-dir runs/race
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.commands.data import add_allow
from advisor.commands.output import remark, write_json, write_text
from advisor.errors import EXIT_OK, InputError, Problem
from advisor.language import tr

if TYPE_CHECKING:
    from trainers.supervision.race import Trial, Verdict

STEPS = 60
SWEEPS = ("learning_rate",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan, what is varied, and how much each trial may take."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument("--sweep", choices=SWEEPS, default=SWEEPS[0], help="the setting that is varied")
    parser.add_argument("--steps", metavar="N", type=int, default=STEPS, help="optimizer steps of each trial")
    parser.add_argument("--run-dir", metavar="DIR", type=Path, required=True, help="folder of the race")
    add_allow(parser)
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Carry the trials out one after the other, then judge them."""
    from advisor.commands.launch import launch_plan
    from advisor.commands.planflags import read_plan
    from trainers import exit_codes
    from trainers.supervision.race import trials, verdict

    if arguments.steps < 1:
        raise InputError(
            Problem(what=tr("--steps {steps} is not possible", steps=arguments.steps), why="", fix=f"--steps {STEPS}")
        )
    plan = read_plan(arguments.plan)
    field = trials(plan, arguments.steps, arguments.run_dir)
    for place, trial in enumerate(field):
        remark(
            tr(
                "\ntrial {place} of {num_field}: learning_rate {learning_rate:g}{cost}",
                place=place + 1,
                num_field=len(field),
                learning_rate=trial.plan.learning_rate,
                cost=_cost(field[:place]),
            )
        )
        code = launch_plan(trial.plan, run_dir=trial.folder, preflight=place == 0, allow=arguments.allow)
        if code not in (exit_codes.DONE, exit_codes.DIVERGED):
            return code
    found = verdict(field, plan.learning_rate)
    if found is None:
        raise InputError(
            Problem(
                what=tr("no trial has a loss on rows that were kept back"),
                why=tr("all diverged, or the plan keeps none back"),
                fix=f"sft-advisor runs list {arguments.run_dir}",
            )
        )
    if arguments.json:
        write_json(found)
    else:
        write_text(in_words(found))
    return EXIT_OK


def _cost(over: list[Trial]) -> str:
    """What the trials before took, which is what this one will take."""
    from trainers.amounts import duration
    from trainers.run_folder.summary import summarise

    seconds = [took for trial in over if (took := summarise(trial.folder).seconds) is not None]
    return tr(", about {time} as the last ones took", time=duration(sum(seconds) / len(seconds))) if seconds else ""


def in_words(found: Verdict) -> str:
    """The ranking, the winner, how sure it is, and what it cost."""
    from trainers.amounts import duration
    from trainers.handover.report import with_ends

    lines = [
        tr(
            "learning_rate {rate:<9g} loss {tuned_loss:.4f}  {folder}",
            rate=rate,
            tuned_loss=summary.tuned_loss or 0.0,
            folder=summary.folder,
        )
        for rate, summary in zip(found.rates, found.trials, strict=True)
    ]
    best = found.rates[0]
    if best == found.planned_rate:
        said = tr("The planned rate, {best:g}, has the lowest loss of those that were tried.", best=best)
    elif found.over_planned is None or not found.over_planned.is_sure:
        said = tr(
            "{best:g} has the lowest loss, but whether it is better than the planned "
            "{planned_rate:g} cannot be told: {with_ends}.",
            best=best,
            planned_rate=found.planned_rate,
            with_ends=with_ends(found.over_planned) or tr("there is no interval"),
        )
    else:
        said = tr(
            "{best:g} is better than the planned {planned_rate:g} by {with_ends} nats per token: "
            "--learning-rate {best:g}.",
            best=best,
            planned_rate=found.planned_rate,
            with_ends=with_ends(found.over_planned),
        )
    return "\n".join(
        [*lines, said, tr("{time} in all; one seed, so another may differ a little.", time=duration(found.seconds))]
    )
