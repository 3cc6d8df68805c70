"""Shows what can be trained here, or on --hardware: models by method and sequence length, with hours.

sft-advisor map                                    this machine; keys browse and filter, Enter takes a model
sft-advisor map --hardware "RTX 4090" qwen         models whose name, family or licence has the word
sft-advisor map --hardware "8x H100" --data-examples 50000 --json
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from advisor.base.errors import EXIT_NOTHING_FITS, EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.numbers import UnusableError

if TYPE_CHECKING:
    from advisor.decide.model_map import ModelMap
    from advisor.decide.recommendation import Recommendation
    from rules.engine import RuleBook
    from trainers.method import Method

MOST_LENGTHS = 6
SHORTEST, LONGEST = 16, 10_000_000
"""Tokens of a column."""
MOST_MAPS = 8
PIPED_WIDTH = 110
"""Columns where there is no terminal whose width would count."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The machine, the data, and which part of the map."""
    from advisor.commands.arguments import add_questions

    parser.add_argument("words", metavar="WORD", nargs="*", help="only models with these in name, family or licence")
    add_questions(parser, tr("for which machine and data"), ("hardware", "data.examples", "data.total_tokens"))
    parser.add_argument("--method", choices=("full", "lora", "qlora"), help="only this method")
    parser.add_argument(
        "--lengths", metavar="N,N", type=_lengths, help="sequence lengths of the columns: 2048,8k (1k is 1024)"
    )
    parser.add_argument("--all", action="store_true", help="older models, and those that do not fit, as well")
    parser.add_argument("--json", action="store_true", help="bytes and seconds as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Draw the map; exit code 3 when nothing fits."""
    from advisor.commands.output import write_json

    found = _map(arguments)
    if arguments.json:
        write_json(found)
    elif _is_browsable() and found.rows:
        _browse(found, arguments)
    else:
        _print(found)
    return EXIT_OK if any(row.fits for row in found.rows) else EXIT_NOTHING_FITS


def _map(arguments: argparse.Namespace) -> ModelMap:
    from advisor.ask.answers import parse
    from advisor.commands.arguments import question_layers
    from advisor.commands.measure import Measurements, measured_before
    from advisor.commands.rulebook import read_rule_book
    from advisor.decide.model_map import LENGTHS, MAPPED, model_map

    given, problems = parse(*question_layers(arguments))
    if problems:
        raise InputError(*problems)
    hardware = Measurements().hardware(given.values)
    methods: tuple[Method, ...] = (arguments.method,) if arguments.method else MAPPED
    found = model_map(
        hardware,
        given.get("hardware") or tr("this machine"),
        given.values,
        read_rule_book(),
        words=arguments.words,
        methods=methods,
        lengths=arguments.lengths or LENGTHS,
        everything=arguments.all,
        calibrations=measured_before(hardware),
    )
    if not found.num_models:
        what = tr(
            "no model that can be trained here has {words} in its name",
            words=tr(" and ").join(map(repr, arguments.words)),
        )
        raise InputError(Problem(what=what, fix=tr("`sft-advisor probe models` lists them all"), where="WORD"))
    return found


def map_around(result: Recommendation, book: RuleBook) -> ModelMap:
    """What the machine of an answer trains for the same amount of data, models that do not fit included.

    A map takes a second, and most changes of an answer leave machine and amount as they were: the last few are kept.
    """
    import msgspec

    from advisor.commands.measure import measured_before
    from advisor.decide.model_map import model_map

    amount = {key: result.facts.get(key) for key in ("data.examples", "data.total_tokens")}
    hardware, calibrations = result.hardware, measured_before(result.hardware)
    drawn_from = (msgspec.msgpack.encode((hardware, amount, calibrations)), book)
    if (found := _MAPS.pop(drawn_from, None)) is None:
        machine = hardware.description or tr("this machine")
        found = model_map(hardware, machine, amount, book, unfit=True, calibrations=calibrations)
    _MAPS[drawn_from] = found
    while len(_MAPS) > MOST_MAPS:
        del _MAPS[next(iter(_MAPS))]
    return found


_MAPS: dict[tuple[bytes, RuleBook], ModelMap] = {}
"""What maps were drawn from -> the map, the last one used at the end."""


def _lengths(text: str) -> tuple[int, ...]:
    """ "2048,8k" as numbers, ascending."""
    from advisor.ask.amounts import length

    lengths, wrong = set(), []
    for part in text.split(","):
        try:
            lengths.add(_within_bounds(length(part)))
        except ValueError as error:
            wrong.append(f"{part.strip()!r}: {error}")
    if len(lengths) > MOST_LENGTHS:
        wrong.append(tr("at most {most_lengths} lengths fit side by side", most_lengths=MOST_LENGTHS))
    if wrong:
        raise UnusableError("; ".join(wrong), "2048,8k")
    return tuple(sorted(lengths))


def _within_bounds(tokens: int) -> int:
    if not SHORTEST <= tokens <= LONGEST:
        raise ValueError(tr("a length is {low} to {high} tokens", low=SHORTEST, high=f"{LONGEST:,}"))
    return tokens


def _is_browsable() -> bool:
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"


def _print(found: ModelMap) -> None:
    from advisor.commands.output import console
    from advisor.report.model_map import model_map

    screen = console()
    if not screen.is_terminal:
        screen.width = max(screen.width, PIPED_WIDTH)
    screen.print(model_map(found))


def _browse(found: ModelMap, arguments: argparse.Namespace) -> None:
    from advisor.commands.output import MAX_WIDTH, show
    from advisor.commands.wizard.browse import Line, browse, drawn
    from advisor.report.model_map import headline, legend, table
    from trainers.foreign.text import shell_line

    head, lines = drawn(table(found), len(found.rows), MAX_WIDTH)
    words = [f"{row.model.name} {row.model.family} {row.model.licence}" for row in found.rows]
    chosen = browse(
        headline(found),
        head,
        [Line(text, about) for text, about in zip(lines, words, strict=True)],
        legend(found)[:2],
    )
    if chosen is None:
        _print(found)
        return
    command = ["sft-advisor", "estimate", "--compare", "--model", found.rows[chosen].model.name]
    on = ["--hardware", arguments._hardware] if arguments._hardware else []
    show(found.rows[chosen].model.name, f"  {shell_line([*command, *on])}")
