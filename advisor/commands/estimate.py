"""Memory, time and disk of any plan: from a file, or from flags, the rest set by the rules.

sft-advisor estimate plan.toml
sft-advisor estimate --model Llama-3.1-8B --hardware "RTX 4090" --method qlora --max-seq-len 4096
sft-advisor estimate --model Llama-3.1-8B --hardware "8x H100" --compare
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from advisor.ask.answers import Layer
from advisor.base.errors import EXIT_NOTHING_FITS, EXIT_OK
from advisor.commands.arguments import add_question_flags, question_layers
from advisor.commands.planflags import add_plan_flags, plan_values, read_plan, require_consistent
from advisor.report.estimates import Estimates, Largest, PlanEstimate

if TYPE_CHECKING:
    from advisor.decide.fill import Context
    from advisor.decide.recommendation import Candidate
    from rules.engine import RuleBook
    from trainers.method import Method
    from trainers.plan import TrainingPlan

COMPARED: tuple[Method, ...] = ("full", "lora", "qlora")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A plan file, or questions and plan fields."""
    parser.usage = (
        "sft-advisor estimate [PLAN.toml] [--model M] [--method NAME] [--compare] [--timeline] [--json] [FLAGS]"
    )
    parser.add_argument("plan", metavar="PLAN.toml", nargs="?", type=Path)
    parser.add_argument("--compare", action="store_true", help="full, LoRA and QLoRA side by side")
    parser.add_argument("--timeline", action="store_true", help="the memory of one step, instant by instant")
    parser.add_argument("--json", action="store_true", help="bytes and seconds as JSON")
    parser.add_argument("--answers", metavar="FILE", help="answers in TOML; flags take precedence")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")
    add_question_flags(parser)
    add_plan_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Estimate and print; exit code 3 when none of the plans fits."""
    from advisor.commands.output import show, write_json

    estimates = _estimates(arguments)
    if arguments.json:
        write_json(Estimates(estimates=tuple(estimates)))
    elif arguments.compare:
        from advisor.report.estimates import comparison

        show(comparison(estimates))
    else:
        from advisor.report.estimates import estimate

        show(*(estimate(each, timeline=arguments.timeline) for each in estimates))
    return EXIT_OK if any(each.fits for each in estimates) else EXIT_NOTHING_FITS


def _estimates(arguments: argparse.Namespace) -> list[PlanEstimate]:
    from advisor.commands.rulebook import read_rule_book

    plan = read_plan(arguments.plan) if arguments.plan else None
    return estimate_plans(
        question_layers(arguments),
        read_rule_book(arguments.rules),
        plan_values(arguments),
        plan,
        place=str(arguments.plan or ""),
        compare=arguments.compare,
    )


def estimate_plans(
    layers: Sequence[Layer],
    book: RuleBook,
    fields: dict[str, Any],
    plan: TrainingPlan | None = None,
    *,
    place: str = "",
    compare: bool = False,
) -> list[PlanEstimate]:
    """The plan with `fields` changed, or the plans that the rules make around `fields`; all methods to compare."""
    from advisor.decide.candidates import build_candidate, judge_plan, with_replay, with_time

    overrides = {name: value for name, value in fields.items() if name != "method" or not compare}
    named = [Layer("file", _named_by(plan), place)] if plan is not None else []
    context = _context([*layers, *named], book, overrides)
    if plan is not None and not compare:
        judged = [judge_plan(_changed(plan, fields), context)]
    else:
        method: Method = fields.get("method") or (plan.method if plan else None) or "lora"
        methods = COMPARED if compare else (method,)
        judged = [build_candidate(each, context) for each in methods]
        if fields and not compare:
            require_consistent(judged[0].plan, context.devices.count)
    return [_with_largest(with_time(with_replay(candidate, context), context), context) for candidate in judged]


def estimates_of(plans: Sequence[TrainingPlan], book: RuleBook) -> list[PlanEstimate]:
    """Each of several plans of one model and dataset as it stands, machine and data looked up once.

    Raises InputError as `estimate_plans` does.
    """
    from advisor.decide.candidates import judge_plan, with_replay, with_time

    context = _context([Layer("file", _named_by(plans[0]))], book, {})
    judged = [with_replay(judge_plan(plan, context), context) for plan in plans]
    return [_with_largest(with_time(candidate, context), context) for candidate in judged]


def _context(layers: Sequence[Layer], book: RuleBook, overrides: dict[str, Any]) -> Context:
    """What the plans are judged in."""
    from advisor.commands.measure import dataset_ref, gather, measured_before, paces_before
    from advisor.decide.facts import build_facts, choose_devices
    from advisor.decide.fill import Context, plan_frame

    request = gather(layers)
    devices = choose_devices(request.hardware)
    return Context(
        facts=build_facts(
            request.answers.values,
            request.hardware,
            devices,
            request.model,
            request.data,
            request.hardware.software,
        ),
        devices=devices,
        model=request.model,
        frame=plan_frame(request.model, devices, dataset_ref(request.data), request.answers.values["output"]),
        book=book,
        overrides=overrides,
        calibrations=measured_before(request.hardware),
        paces=paces_before(request.hardware),
    )


def _named_by(plan: TrainingPlan) -> dict[str, Any]:
    from advisor.commands.measure import named_dataset

    named: dict[str, Any] = {
        "model": plan.model.name,
        "output": plan.output_dir,
        "wish.max_seq_len": plan.max_seq_len,
    }
    if plan.dataset is not None and Path(plan.dataset.source).exists():
        named |= named_dataset(plan.dataset)
    return named


def _changed(plan: TrainingPlan, fields: dict[str, Any]) -> TrainingPlan:
    changed = msgspec.structs.replace(plan, **fields)
    require_consistent(changed)
    return changed


def _with_largest(candidate: Candidate, context: Context) -> PlanEstimate:
    from advisor.estimate import largest_micro_batch, largest_rank, largest_seq_len

    largest, room = None, candidate.available_bytes
    if room is not None:
        sm = context.facts.get("gpu.sm")
        largest = Largest(
            micro_batch_size=largest_micro_batch(context.model, candidate.plan, room, sm=sm),
            max_seq_len=largest_seq_len(context.model, candidate.plan, room, sm=sm),
            lora_rank=largest_rank(context.model, candidate.plan, room, sm=sm) or None,
        )
    return PlanEstimate(
        model=context.model.name,
        plan=candidate.plan,
        memory=candidate.memory,
        time=candidate.time,
        storage=candidate.storage,
        available_bytes=room,
        fits=candidate.fits,
        largest=largest,
    )
