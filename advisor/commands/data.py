"""Checks a dataset before any GPU time is spent: what a run would cut, drop, mask or learn by mistake.

    sft-advisor data check chats.jsonl --model Qwen3-8B --max-seq-len 2048
    sft-advisor data convert table.csv --map prompt=question,completion=answer -o clean.jsonl
    sft-advisor data convert chats.jsonl --fix end-tokens --drop refusals -o clean.jsonl

Exit code 2 when a finding blocks; --allow FINDING accepts it.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_OK, AdvisorError, Problem, nearest
from advisor.base.language import tr
from advisor.commands.numbers import LENGTH, UnusableError
from trainers.plan import LeaveOut, LossOn, TrainingPlan

if TYPE_CHECKING:
    from advisor.data.verdict import DataVerdict, Finding
    from advisor.model.spec import ModelSpec

OTHER_MACHINE = "other-machine"
"""What `--allow` calls a machine that the plan was not made for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data, and the model and length that it is meant for."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="check|convert")
    check = actions.add_parser("check", help="the verdict on a dataset")
    check.add_argument("dataset", metavar="DATA", help="a file, a folder saved by `datasets`, or a hub id")
    check.add_argument("--model", metavar="M", help="count with this model's tokenizer and chat template")
    check.add_argument("--max-seq-len", metavar="N", type=LENGTH, help="the sequence length of the run: 4096, or 4k")
    check.add_argument("--eval-dataset", "--eval", metavar="DATA", help="evaluation set, to look for overlap")
    check.add_argument(
        "--loss-on", default="assistant", choices=get_args(LossOn), help="what trains (default: the answers)"
    )
    check.add_argument(
        "--leave-out",
        metavar="PART",
        action="append",
        default=[],
        choices=get_args(LeaveOut),
        help="do without a part that the chat template cannot show: reasoning, tools, or words beside a call",
    )
    add_map(check)
    check.add_argument("--split", default="train", metavar="NAME")
    add_allow(check)
    check.add_argument("--json", action="store_true", help="the verdict as JSON")
    convert = actions.add_parser("convert", help="write what was read as clean messages, one example a line")
    convert.add_argument("dataset", metavar="DATA", help="a file, a folder, a pattern of files, or a hub id")
    convert.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="a .jsonl file to write")
    add_map(convert)
    convert.add_argument("--split", default="train", metavar="NAME")
    convert.add_argument("--eval-dataset", "--eval", metavar="DATA", help="evaluation set, for --drop eval-overlap")
    convert.add_argument(
        "--fix", metavar="FINDING", action="append", default=[], help="mend the rows that show a finding of the check"
    )
    convert.add_argument(
        "--drop", metavar="FINDING", action="append", default=[], help="leave out the rows that show it"
    )
    add_allow(convert)
    convert.add_argument("--json", action="store_true", help="what was changed as JSON")


def add_map(parser: argparse.ArgumentParser) -> None:
    """The flag that says which column is what."""
    parser.add_argument(
        "--map", metavar="PART=COLUMN,...", help="what each column is: prompt=question,completion=answer"
    )


def add_allow(parser: argparse.ArgumentParser) -> None:
    """The flag that accepts a finding by its name."""
    parser.add_argument(
        "--allow", metavar="FINDING", type=_one_finding, action="append", default=[], help="accept a finding by name"
    )


def _one_finding(name: str) -> str:
    from advisor.data.findings import BLOCKING

    if name == "all":
        what = tr(
            "all would accept findings that nobody has read; name each finding as the check does: --allow duplicates"
        )
        raise UnusableError(what, "duplicates")
    if name not in BLOCKING and name != OTHER_MACHINE:
        close = nearest(name, (*BLOCKING, OTHER_MACHINE))
        what = tr("no finding that stops a run is called {name!r}", name=name)
        hint = f"; {tr('did you mean {close}?', close=close)}" if close else ""
        raise UnusableError(what + hint, close or "duplicates")
    return name


def run(arguments: argparse.Namespace) -> int:
    """Check or convert, and print."""
    return _convert(arguments) if arguments.action == "convert" else _check(arguments)


def _convert(arguments: argparse.Namespace) -> int:
    from advisor.base.sandbox import sandboxed
    from advisor.commands.output import show, write_json
    from advisor.data.convert import Converted, convert_dataset
    from trainers.examples.mapping import parse_mapping
    from trainers.plan import DatasetRef

    columns = parse_mapping(arguments.map or "")
    named = DatasetRef(
        source=arguments.dataset, split=arguments.split, columns=columns, eval_source=arguments.eval_dataset
    )
    folder = next(one for one in arguments.output.absolute().parents if one.is_dir())
    asked = {"fixes": arguments.fix, "drops": arguments.drop, "allow": arguments.allow}
    made = sandboxed(Converted, lambda: convert_dataset(named, arguments.output, **asked), writes=(folder,))
    if arguments.json:
        write_json(made)
    else:
        from advisor.report.data import conversion

        show(conversion(made))
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> int:
    from advisor.commands.output import show, write_json

    verdict = verdict_on(
        arguments.dataset,
        model=arguments.model,
        max_seq_len=arguments.max_seq_len,
        eval_source=arguments.eval_dataset,
        mapping=arguments.map or "",
        split=arguments.split,
        loss_on=arguments.loss_on,
        leave_out=arguments.leave_out,
        allow=arguments.allow,
    )
    if arguments.json:
        write_json(verdict)
    else:
        from advisor.report.data import data_verdict

        show(data_verdict(verdict))
    return EXIT_BAD_INPUT if verdict.blocking else EXIT_OK


def verdict_on(dataset: str, *, model: str | None, mapping: str, **how: Any) -> DataVerdict:
    """The verdict on a dataset, read in the sandbox; `how` is what `check_dataset` takes. Raises InputError."""
    from advisor.base.sandbox import sandboxed
    from advisor.data.check import check_dataset
    from advisor.data.verdict import DataVerdict
    from advisor.model import resolve_model
    from trainers.examples.mapping import parse_mapping

    spec = resolve_model(model) if model else None
    columns = parse_mapping(mapping)
    return sandboxed(DataVerdict, lambda: check_dataset(dataset, spec, columns=columns, **how))


def check_plan(plan: TrainingPlan, allow: Collection[str]) -> DataVerdict | None:
    """The verdict on a plan's data; None, with the reason on stderr, for a hub dataset that cannot be looked at here.

    Raises InputError for data on this machine that cannot be judged.
    """
    from advisor.base.sandbox import sandboxed
    from advisor.commands.output import remark
    from advisor.data.check import check_dataset
    from advisor.data.verdict import DataVerdict
    from trainers.examples.source import is_hub_id

    dataset = plan.dataset
    if dataset is None:
        return None
    model = _model_of(plan)
    try:
        return sandboxed(
            DataVerdict,
            lambda: check_dataset(
                dataset,
                model,
                plan.max_seq_len,
                allow=allow,
                loss_on=plan.loss_on,
                leave_out=plan.leave_out,
                reads_images=plan.reads_images,
                max_pixels=plan.max_pixels,
            ),
        )
    except AdvisorError as error:
        if not is_hub_id(dataset.source):
            raise
        remark(tr("data: not checked before the run: {error}", error=error))
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
    accept = tr("--allow {code} accepts it", code=finding.code)
    return Problem(what=finding.what, why=finding.why, fix=f"{finding.fix} ({accept})" if finding.fix else accept)
