"""Recommends full fine-tuning, LoRA or QLoRA for a model, data and hardware, and starts the run.

On a terminal a wizard asks; with --non-interactive the answers come from flags and the answers file, and one JSON
document is printed. Exit codes: 0 recommended, 2 bad input, 3 nothing fits, 4 do not fine-tune, 5 the environment
cannot do it, 1 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.commands.arguments import add_question_flags, question_layers
from advisor.commands.output import write_file
from advisor.errors import EXIT_DO_NOT_FINE_TUNE, EXIT_NOTHING_FITS, EXIT_OK, InputError, Problem

if TYPE_CHECKING:
    from advisor.recommendation import Recommendation

EXIT_CODES = {
    "recommended": EXIT_OK,
    "nothing_fits": EXIT_NOTHING_FITS,
    "do_not_fine_tune": EXIT_DO_NOT_FINE_TUNE,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The doors, the files that are written, and one flag for each question."""
    parser.usage = "sft-advisor [COMMAND] [--non-interactive] [--model M] [--dataset D] [FLAGS]"
    parser.add_argument("--non-interactive", action="store_true", help="ask nothing; print the answer as JSON")
    parser.add_argument("--answers", metavar="FILE", help="answers in TOML; flags take precedence")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")
    parser.add_argument("--save-answers", metavar="FILE", type=Path, help="write the answers given as TOML")
    parser.add_argument("--save-plan", metavar="FILE", type=Path, help="write the recommended plan, for launch")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the report as one HTML file")
    parser.add_argument("--version", "-V", action="store_true", help="print the version")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    add_question_flags(parser)
    parser.epilog = _command_list()


def _command_list() -> str:
    from advisor.cli import COMMANDS

    lines = [f"  {name:<11} {meaning}" for name, meaning in COMMANDS.items()]
    return "commands (each has --help):\n" + "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Ask or read, decide, print. Gives the exit code of the verdict."""
    layers = question_layers(arguments)
    if not arguments.non_interactive:
        _require_terminal()
        from advisor.commands.interview import interview

        return interview(layers, arguments)
    from advisor.commands.measure import gather, recommend
    from advisor.commands.output import write_json
    from rules.engine import load_rule_book

    request = gather(layers)
    result = recommend(request, load_rule_book(arguments.rules))
    write_files(arguments, request.answers.explicit, result)
    write_json(result)
    return EXIT_CODES[result.verdict]


def _require_terminal() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(
            Problem(
                what="the wizard needs a terminal, and standard input is none",
                why="questions are answered with the keyboard",
                fix="sft-advisor --non-interactive --model M --dataset D   or   --answers FILE",
            )
        )


def write_files(arguments: argparse.Namespace, explicit: dict[str, object], result: Recommendation) -> None:
    """The files that flags asked for, and the last answer for `explain last`."""
    from advisor.commands.last import remember

    remember(result)
    if arguments.save_answers:
        from advisor.answers import to_toml

        write_file(arguments.save_answers, to_toml(explicit).encode())
    if arguments.save_plan:
        save_plan_of(result, arguments.save_plan)
    if arguments.html:
        from advisor.report.html import render

        write_file(arguments.html, render(result).encode())


def save_plan_of(result: Recommendation, path: Path) -> None:
    """Write the recommended plan. Raises InputError when there is none."""
    if result.best is None:
        raise InputError(
            Problem(what="there is no plan to save", why=result.headline, fix="; ".join(result.remedies))
        )
    import tomli_w

    from trainers.plan import plan_to_dict

    write_file(path, tomli_w.dumps(plan_to_dict(result.best.plan)).encode())
