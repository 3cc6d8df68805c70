"""Recommends full fine-tuning, LoRA or QLoRA for a model, data and hardware, and starts the run.

On a terminal a wizard asks; with --non-interactive the answers come from flags and the answers file, and one JSON
document is printed. Exit codes: 0 recommended, 2 bad input, 3 nothing fits, 4 do not fine-tune, 5 the environment
cannot do it, 1 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from advisor.base.errors import EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands import GROUPS, SHELLS, UNDER
from advisor.commands.answer import EXIT_CODES, write_files
from advisor.commands.arguments import add_question_flags, question_layers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags for where answers come from, for the files that are written, and one for each question."""
    parser.usage = "sft-advisor [COMMAND] [--non-interactive] [--model M] [--dataset D] [FLAGS]"
    parser.add_argument(
        "--non-interactive", "--json", action="store_true", help="ask nothing; print the answer as JSON"
    )
    parser.add_argument("--answers", metavar="FILE", help="answers in TOML; flags take precedence")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")
    parser.add_argument("--save-answers", metavar="FILE", type=Path, help="write the answers as TOML")
    parser.add_argument("--save-plan", metavar="FILE", type=Path, help="write the recommended plan, for launch")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the report as one HTML file")
    parser.add_argument("--full", action="store_true", help="show the whole answer, not its first screen")
    parser.add_argument("--plain", action="store_true", help="ask line by line, draw nothing: for screen readers")
    parser.add_argument("--trace", action="store_true", help="add to the JSON every rule, variant and fact")
    parser.add_argument("--completion", choices=SHELLS, help="print what completes commands and flags on Tab")
    parser.add_argument("--version", "-V", action="store_true", help="print the version")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    add_question_flags(parser)
    parser.epilog = _command_list()


def _command_list() -> str:
    lines = [tr("commands (each has --help):")]
    for group, commands in GROUPS.items():
        lines.append(f" {tr(group)}")
        for name, meaning in commands.items():
            lines.append(f"  {name:<9} {tr(meaning)}")
            under = [words.split()[1] for words in UNDER if words.split()[0] == name]
            lines += [f"  {'':<9} {name} {word}: {tr(UNDER[f'{name} {word}'])}" for word in under]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Ask or read, decide, print. Return the exit code of the verdict."""
    if arguments.completion:
        from advisor.commands.output import write_text
        from advisor.commands.tree import completion

        write_text(completion(arguments.completion))
        return EXIT_OK
    layers = question_layers(arguments)
    if not arguments.non_interactive:
        _require_terminal()
        from advisor.commands.interview import interview

        return interview(layers, arguments)
    from advisor.commands.measure import gather, recommend
    from advisor.commands.output import write_json
    from advisor.commands.rulebook import read_rule_book
    from advisor.report.document import answer_document

    request = gather(layers)
    book = read_rule_book(arguments.rules)
    result = recommend(request, book)
    write_files(arguments, request.answers.explicit, result, book)
    write_json(answer_document(result, trace=arguments.trace))
    return EXIT_CODES[result.verdict]


def _require_terminal() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(
            Problem(
                what=tr("the wizard needs a terminal, and standard input is not one"),
                why=tr("questions are answered with the keyboard"),
                fix="sft-advisor --non-interactive --model M --dataset D   or   --answers FILE",
            )
        )
