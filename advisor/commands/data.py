"""Checks a dataset before any GPU time is spent: what a run would cut, drop, mask or learn by mistake.

    sft-advisor data check chats.jsonl --model Qwen3-8B --max-seq-len 2048

Exit code 2 when a finding blocks; --allow FINDING accepts it.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, get_args

from advisor.errors import EXIT_BAD_INPUT, EXIT_OK, AdvisorError, Problem
from trainers.plan import LossOn, TrainingPlan

if TYPE_CHECKING:
    from advisor.data.verdict import DataVerdict, Finding
    from advisor.model.spec import ModelSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data, and the model and length that it is meant for."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="check")
    check = actions.add_parser("check", help="the verdict on a dataset")
    check.add_argument("dataset", metavar="DATA", help="a file, a folder saved by `datasets`, or a hub id")
    check.add_argument("--model", metavar="M", help="count with this model's tokenizer and chat template")
    check.add_argument("--max-seq-len", metavar="N", type=int, help="the sequence length of the run")
    check.add_argument("--eval", metavar="DATA", help="evaluation set, to look for overlap")
    check.add_argument(
        "--loss-on", default="assistant", choices=get_args(LossOn), help="what trains (default: the answers)"
    )
    check.add_argument("--split", default="train", metavar="NAME")
    check.add_argument("--allow", metavar="FINDING", action="append", default=[], help="accept a finding, or all")
    check.add_argument("--json", action="store_true", help="the verdict as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check and print."""
    from advisor.commands.output import show, write_json
    from advisor.data.check import check_dataset
    from advisor.model import resolve_model

    verdict = check_dataset(
        arguments.dataset,
        resolve_model(arguments.model) if arguments.model else None,
        arguments.max_seq_len,
        eval_source=arguments.eval,
        split=arguments.split,
        allow=arguments.allow,
        loss_on=arguments.loss_on,
    )
    if arguments.json:
        write_json(verdict)
    else:
        from advisor.report.data import data_verdict

        show(data_verdict(verdict))
    return EXIT_BAD_INPUT if verdict.blocking else EXIT_OK


def check_plan(plan: TrainingPlan, allow: Collection[str]) -> DataVerdict | None:
    """The verdict on a plan's data; None, with the reason said, when it is of the hub and cannot be looked at here.

    Raises InputError for data on this machine that cannot be judged.
    """
    from advisor.commands.output import remark
    from advisor.data.check import check_dataset
    from advisor.data.source import is_hub_id

    if plan.dataset is None:
        return None
    try:
        return check_dataset(
            plan.dataset.source,
            _model_of(plan),
            plan.max_seq_len,
            eval_source=plan.dataset.eval_source,
            split=plan.dataset.split,
            allow=allow,
            loss_on=plan.loss_on,
        )
    except AdvisorError as error:
        if not is_hub_id(plan.dataset.source):
            raise
        remark(f"data: not checked before the run: {error}")
        return None


def _model_of(plan: TrainingPlan) -> ModelSpec | None:
    """The plan's model, None when it cannot be looked up here: then the tokens are estimated."""
    from advisor.model import resolve_model

    try:
        return resolve_model(plan.model.name)
    except AdvisorError:
        return None


def problem_of(finding: Finding) -> Problem:
    """A blocking finding as a person reads it, with the flag that accepts it."""
    accept = f"--allow {finding.code} accepts it"
    return Problem(what=finding.what, why=finding.why, fix=f"{finding.fix} ({accept})" if finding.fix else accept)
