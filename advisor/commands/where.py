"""Says where a model can be trained, by money and by hours: clouds, notebooks and own machines, offline.

sft-advisor where --model Qwen3-8B --data-examples 20000 --method lora
sft-advisor where --model Qwen3-8B --dataset train.jsonl --by tomorrow
sft-advisor where --model Qwen3-8B --dataset train.jsonl --budget 20 runpod
sft-advisor where --model Qwen3-8B --dataset train.jsonl --prices mine.toml --json

--prices FILE holds prices of your own, in US dollars an hour, by any name that --hardware takes:
  date = "2026-11-29"
  [prices]
  "g5.xlarge" = 0.95
  "8x H100" = { usd_per_hour = 16, usd_per_hour_spot = 9.5 }
"""

from __future__ import annotations

import argparse
import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.ask.answers import Layer
from advisor.base.errors import EXIT_NOTHING_FITS, EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.numbers import AMOUNT, UnusableError

if TYPE_CHECKING:
    from advisor.decide.offers import Offers

MORNING = time(9)
"""What "tomorrow" means, and a date without an hour."""
PIPED_WIDTH = 118
"""What the table takes; where it is piped nobody's screen sets another width."""
EXAMPLES, TOKENS_OF_AN_EXAMPLE = 5000, 500
"""Where nothing is said of the data: a usual set of instructions."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the data, and what is asked of a place."""
    from advisor.commands.arguments import add_question_flags

    parser.usage = "sft-advisor where --model M [--dataset D] [--by TIME] [--budget USD] [WORD ...] [FLAGS]"
    parser.add_argument("words", metavar="WORD", nargs="*", help="only places and GPUs with these in their names")
    parser.add_argument("--method", choices=("full", "lora", "qlora"), help="otherwise what is best at each place")
    parser.add_argument(
        "--by", metavar="TIME", type=_hours, help="done by then: 12h, 3d, tomorrow, 2026-12-24, 2026-12-24T18:00"
    )
    parser.add_argument("--budget", metavar="USD", type=AMOUNT, help="US dollars that the run may cost")
    parser.add_argument("--prices", metavar="FILE", type=Path, help="prices of your own, in TOML")
    parser.add_argument("--all", action="store_true", help="every place, not the cheapest and the front alone")
    parser.add_argument("--json", action="store_true", help="every place as JSON")
    parser.add_argument("--answers", metavar="FILE", help="answers in TOML; flags take precedence")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")
    add_question_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge every place and print; exit code 3 when none is suitable."""
    from advisor.commands.output import console, write_json

    found = _offers(arguments)
    if arguments.json:
        write_json(found)
    else:
        from advisor.report.where import where

        screen = console()
        if not screen.is_terminal:
            screen.width = max(screen.width, PIPED_WIDTH)
        screen.print(where(found, everything=arguments.all))
    return EXIT_OK if found.suitable else EXIT_NOTHING_FITS


def _offers(arguments: argparse.Namespace) -> Offers:
    from advisor.commands.arguments import question_layers
    from advisor.commands.measure import dataset_ref, gather
    from advisor.commands.rulebook import read_rule_book
    from advisor.decide.decision import Inputs
    from advisor.decide.offers import find_offers
    from advisor.probe.prices import read_prices

    layers = question_layers(arguments)
    if problems := _problems(arguments):
        raise InputError(*problems)
    # the machine is what is asked for, so that this one is not looked at
    request = gather([Layer("flag", {"hardware": "cpu"}), *layers])
    answers = dict(request.answers.values)
    if request.data is None and not answers.get("data.examples"):
        answers["data.examples"] = EXAMPLES
    if request.data is None and not answers.get("data.total_tokens"):
        answers["data.total_tokens"] = answers["data.examples"] * TOKENS_OF_AN_EXAMPLE
    inputs = Inputs(
        answers=answers,
        hardware=request.hardware,
        model=request.model,
        data=request.data,
        book=read_rule_book(arguments.rules),
        dataset=dataset_ref(request.data),
        output_dir=answers["output"],
    )
    own = read_prices(arguments.prices) if arguments.prices else []
    found = find_offers(
        inputs, arguments.method, own, words=arguments.words, budget_usd=arguments.budget, by_hours=arguments.by
    )
    if arguments.words and not found.offers and not found.left_out.total:
        what = tr("no place or GPU is called {words}", words=" ".join(arguments.words))
        raise InputError(
            Problem(what=what, fix=tr("Leave the word out, or write a provider or a GPU."), where="WORD")
        )
    return found


def _problems(arguments: argparse.Namespace) -> list[Problem]:
    problems = []
    if arguments._hardware:
        fix = tr("Name the card or the provider as a word: `sft-advisor where --model M H100`")
        problems.append(Problem(what=tr("`where` looks at every machine, and `--hardware` names one"), fix=fix))
    return problems


def _hours(text: str) -> float:
    return hours_until(text, datetime.now())


def hours_until(text: str, now: datetime) -> float:
    """Hours from `now` to "12h", "3d", "tomorrow" or a date, in the morning where no hour is said.

    Raises UnusableError for what is no time, or one that has passed.
    """
    words = text.strip().lower()
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(m|min|h|hours?|d|days?)", words):
        return float(match[1]) * {"m": 1 / 60, "h": 1, "d": 24}[match[2][0]]
    try:
        then = _tomorrow(now) if words == "tomorrow" else datetime.fromisoformat(words.upper())
    except ValueError:
        raise UnusableError(
            tr("it is no time: 12h, 3d, tomorrow, 2026-12-24 and 2026-12-24T18:00 are"), "12h"
        ) from None
    if len(words) == len("2026-12-24"):
        then = datetime.combine(then.date(), MORNING)
    then = then.astimezone().replace(tzinfo=None) if then.tzinfo else then
    if then <= now:
        raise UnusableError(tr("it has passed"), "12h")
    return (then - now).total_seconds() / 3600


def _tomorrow(now: datetime) -> datetime:
    return datetime.combine(now.date() + timedelta(days=1), MORNING)
