"""Trains a matrix of small plans on the device that is here, and holds them against what is predicted and claimed.

Methods, precisions, kernels, packing, paged states, two cards where there are two; memory, time and losses beside the
predictions; what must be equal bit for bit, compared. It ends within --minutes, and leaves verify.json and
measured.csv.
Exit code 5 when a plan fails or a claim does not hold.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.base.errors import EXIT_ENVIRONMENT, EXIT_OK, InputError, MachineError, Problem
from advisor.base.language import tr
from advisor.commands.numbers import AMOUNT

if TYPE_CHECKING:
    from trainers.acceptance.cells import Cell
    from trainers.acceptance.outcomes import Outcome, Prediction
    from trainers.plan import TrainingPlan

MINUTES = 10.0
ROWS = 96
LIKE = ("flash_attn", "liger_kernel", "bitsandbytes")
LOOKS = ("--examples", "8", "--samples", "0")
"""Of each plan's own evaluation: enough to see that it works."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long, of which model, and where it is kept."""
    parser.add_argument("--minutes", metavar="N", type=AMOUNT, default=MINUTES, help=f"at most ({MINUTES:g})")
    parser.add_argument("--model", metavar="MODEL", help="the model (default: the small embedded one)")
    parser.add_argument("--run-dir", metavar="DIR", type=Path, help="folder of the runs (default: a new one)")
    parser.add_argument("--json", action="store_true", help="the outcomes as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Plan the matrix, train it, judge it, write it down."""
    from advisor.commands.output import remark, show, write_file, write_json
    from advisor.report.verify import acceptance
    from trainers.acceptance.measured import as_csv
    from trainers.acceptance.outcomes import Acceptance, carry_out
    from trainers.foreign.records import encode

    began, folder = time.monotonic(), _folder(arguments)
    plan, name, device, cards = _base_plan(arguments, folder)
    matrix = _cells(plan, cards)
    remark(
        tr("{count} plans on {device}, {minutes:g} minutes at most", count=len(matrix), device=device,
           minutes=arguments.minutes)
    )  # fmt: skip
    predicted = _predicted(matrix)
    left_seconds = 60 * arguments.minutes - (time.monotonic() - began)
    outcomes = carry_out(matrix, folder, predicted, _start, seconds=left_seconds, said=remark)
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("torch", "transformers", "trl"))
    rows = as_csv(
        ((cell.plan, outcome) for cell, outcome in zip(matrix, outcomes, strict=True)),
        model=name,
        device=device,
        longest_tokens=_longest(folder, outcomes),
        note=f"{versions}; {time.strftime('%Y-%m-%d')}",
    )
    write_file(folder / "measured.csv", rows.encode())
    document = Acceptance(device=device, model=name, plans=tuple(outcomes))
    write_file(folder / "verify.json", encode(document))
    if arguments.json:
        write_json(document)
    else:
        show(acceptance(outcomes, device))
        remark(tr("written: {json} and {csv}", json=folder / "verify.json", csv=folder / "measured.csv"))
    return EXIT_OK if all(one.state in ("ok", "no time") for one in outcomes) else EXIT_ENVIRONMENT


def _folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.run_dir or Path("runs") / f"verify-{time.strftime('%Y%m%d-%H%M%S')}"
    problems = []
    if not arguments.minutes > 0:
        problems.append(Problem(what=tr("--minutes cannot be {value}", value=arguments.minutes), fix="--minutes 10"))
    if folder.exists() and any(folder.iterdir()):
        problems.append(
            Problem(
                what=tr("{folder} is not empty", folder=folder),
                why=tr("runs of before would be taken for those of this device"),
                fix=tr("give another folder"),
            )
        )
    if problems:
        raise InputError(*problems)
    return folder


def _base_plan(arguments: argparse.Namespace, folder: Path) -> tuple[TrainingPlan, str, str, int]:
    """The advised LoRA plan, the names of model and device, and how many cards there are."""
    from advisor.ask.answers import Layer
    from advisor.commands.demo.dataset import write_demo_dataset
    from advisor.commands.measure import gather, recommend
    from advisor.commands.rulebook import read_rule_book

    model = arguments.model or str(_embedded())
    data = write_demo_dataset(folder / "data", train=ROWS, eval_seen=1, eval_unseen=1)
    asked: dict[str, Any] = {
        "model": model,
        "dataset": str(data.train),
        "output": str(folder),
        "wish.method": "lora",
        "task.prompting_tried": True,
    }
    request = gather([Layer("flag", asked)])
    found = recommend(request, read_rule_book(), search_changes=False)
    if found.best is None:
        raise InputError(Problem(what=found.headline, fix="; ".join(found.remedies) or "sft-advisor doctor"))
    plan = found.best.plan.anchored()
    gpus = request.hardware.gpus if plan.accelerator != "cpu" else ()
    device = gpus[0].name if gpus else tr("the CPU")
    return plan, request.model.name, device, len(gpus)


def _embedded() -> Path:
    from advisor.commands.children import read_child

    code, said = read_child("trainers.training.embedded")
    if code != EXIT_OK or not said.strip():
        raise MachineError(Problem(what=tr("the embedded model is not there"), fix=tr("name another with --model")))
    return Path(said.strip().splitlines()[-1])


def _cells(plan: TrainingPlan, cards: int) -> list[Cell]:
    from trainers.acceptance.cells import cells

    return cells(plan, [name for name in LIKE if importlib.util.find_spec(name)], cards)


def _predicted(matrix: list[Cell]) -> dict[str, Prediction]:
    from advisor.commands.estimate import estimates_of
    from advisor.commands.rulebook import read_rule_book
    from trainers.acceptance.outcomes import Prediction

    found = estimates_of([cell.plan for cell in matrix], read_rule_book())
    return {
        cell.name: Prediction(
            peak_bytes=round(one.memory.device.high),
            likely_bytes=round(one.memory.device.likely),
            tokens_per_second=one.time.tokens_per_second if one.time else None,
        )
        for cell, one in zip(matrix, found, strict=True)
    }


def _start(cell: Cell, run_dir: Path, until: int | None) -> int:
    from trainers.supervision.supervise import start

    return start(cell.plan, run_dir, options=(*LOOKS, *(("--until", str(until)) if until else ())))


def _longest(folder: Path, outcomes: list[Outcome]) -> int:
    """Tokens of the longest row, as a run that was made says."""
    from trainers.run_folder import layout
    from trainers.run_folder.record import read_record

    for file in folder.glob(f"*/{layout.RUN}"):
        found = (read_record(file).get("data") or {}).get("longest")
        if isinstance(found, int):
            return found
    return 0
