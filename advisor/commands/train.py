"""Runs one method directly: full, lora, qlora or another. What you leave open is set by the rules.

sft-advisor train lora --model Qwen3-8B --dataset chats.jsonl --lora-rank 8 --learning-rate 1e-4
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from advisor.ask.answers import Layer
from advisor.base.errors import EXIT_NOTHING_FITS, Problem
from advisor.base.language import tr
from advisor.commands.arguments import add_question_flags, question_layers
from advisor.commands.launch import add_run_flags, launch_plan
from advisor.commands.output import remark
from advisor.commands.planflags import add_plan_flags, plan_values, require_consistent
from advisor.decide.recommendation import Caution
from rules.facts import METHODS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The method, the questions, and every plan field."""
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--answers", metavar="FILE", help="answers in TOML; flags take precedence")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")
    parser.add_argument("--force", action="store_true", help="start although it is predicted not to fit")
    add_run_flags(parser)
    add_question_flags(parser)
    add_plan_flags(parser, without=("method",))


def run(arguments: argparse.Namespace) -> int:
    """Plan with the method as the wish, then launch that plan."""
    from advisor.commands.measure import gather, recommend
    from advisor.commands.rulebook import read_rule_book
    from advisor.decide.facts import choose_devices

    overrides = plan_values(arguments)
    layers = [Layer("flag", {"wish.method": arguments.method}), *question_layers(arguments)]
    request = gather(layers, also=_missing_dataset(layers))
    result = recommend(request, read_rule_book(arguments.rules), overrides, search_changes=False)
    candidates = [*([result.best] if result.best else []), *result.alternatives, *result.rejected]
    chosen = next(candidate for candidate in candidates if candidate.method == arguments.method)
    gates = [Caution(message=gate.message, fix=gate.fix, rule_id=gate.rule_id) for gate in result.gates]
    for warning in (*result.warnings, *gates):
        remark(tr("warning: {message}", message=warning.message))
        if warning.fix:
            remark(tr("  try: {fix}", fix=warning.fix))
    for reason in chosen.why_not:
        remark(tr("warning: {reason}", reason=reason))
    if not chosen.fits and not arguments.force:
        remark(
            tr("error: this plan is predicted not to fit; {remedies}", remedies="; ".join(result.remedies)).rstrip(
                "; "
            )
        )
        remark(tr("  try: --force starts it anyway"))
        return EXIT_NOTHING_FITS
    require_consistent(chosen.plan, choose_devices(request.hardware).count if overrides else None)
    return launch_plan(
        chosen.plan,
        run_dir=arguments.run_dir,
        dry_run=arguments.dry_run,
        preflight=not arguments.no_preflight,
        rendezvous=arguments.rendezvous,
        allow=arguments.allow,
        recommendation=result,
        as_json=arguments.json,
    )


def _missing_dataset(layers: Sequence[Layer]) -> list[Problem]:
    if any("dataset" in layer.raw for layer in layers):
        return []
    why = tr("there is nothing to train on")
    return [Problem(what=tr("a run needs a dataset"), why=why, fix="--dataset data/train.jsonl")]
