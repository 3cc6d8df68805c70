"""The argument parser of one command: argparse with errors in the house's form, and flags read from the tables."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from advisor.answers import Layer, read_file
from advisor.errors import InputError, Problem, nearest
from advisor.question import Page, Question
from advisor.questions import PAGES, QUESTIONS, on_page

FLAG_KEYS = {"_" + question.key.replace(".", "__"): question.key for question in QUESTIONS}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse asks for a formatter with every argument, and its own way to find the
    width imports five libraries, so the width is found here."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(_columns(), 120) - 2)


def _columns() -> int:
    with contextlib.suppress(ValueError):
        if (columns := int(os.environ.get("COLUMNS", ""))) > 20:
            return columns
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """Raises InputError instead of printing a usage line and exiting; unknown flags get the nearest name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter} | options)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Like parse_args, with every unknown argument reported at once."""
        namespace, unknown = self.parse_known_args(arguments)
        if unknown:
            raise InputError(*(self._unknown(argument) for argument in unknown if self._is_new(argument, unknown)))
        return namespace

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a wrong use."""
        raise InputError(Problem(what=message, fix=f"{self.prog} --help"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Called by argparse for each value of an argument with a closed set of choices."""
        if action.choices is None or value in action.choices:
            return
        allowed = [str(choice) for choice in action.choices]
        close = nearest(str(value), allowed)
        name = action.option_strings[0] if action.option_strings else (action.metavar or action.dest)
        raise InputError(
            Problem(
                what=f"{name} cannot be {value!r}",
                why=f"allowed are {', '.join(allowed)}",
                fix=f"did you mean {close}?" if close else f"{self.prog} --help",
            )
        )

    def _is_new(self, argument: str, unknown: Sequence[str]) -> bool:
        """False for the value that follows an unknown flag: the flag is the problem."""
        place = list(unknown).index(argument)
        return argument.startswith("-") or place == 0 or not unknown[place - 1].startswith("-")

    def _unknown(self, argument: str) -> Problem:
        name = argument.partition("=")[0]
        flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        close = nearest(name, flags) if name.startswith("-") else None
        what = f"{name} is not a flag of {self.prog}" if name.startswith("-") else f"{name!r} was not expected"
        return Problem(what=what, fix=f"did you mean {close}?" if close else f"{self.prog} --help lists all flags")


def add_question_flags(parser: argparse.ArgumentParser, pages: Iterable[Page] = PAGES) -> None:
    """One flag for each question, grouped by page."""
    for page in pages:
        group = parser.add_argument_group(PAGES[page])
        for question in on_page(page):
            _add_flag(group, question)


def _add_flag(group: argparse._ArgumentGroup, question: Question) -> None:
    options: dict[str, Any] = {"default": None, "dest": "_" + question.key.replace(".", "__")}
    if question.kind == "bool":
        options |= {"nargs": "?", "const": "yes", "metavar": "yes|no"}
    elif question.choices:
        options["metavar"] = "|".join(question.choices) if len(question.choices) <= 3 else "NAME"
    else:
        options["metavar"] = {"int": "N", "size": "SIZE", "path": "DIR"}.get(question.kind, "TEXT")
    group.add_argument(question.flag, help=_flag_help(question).replace("%", "%%"), **options)


def _flag_help(question: Question) -> str:
    text = question.prompt
    if len(question.choices) > 3:
        text += f" ({', '.join(question.choices)})"
    if question.example:
        text += f" e.g. {question.example}"
    return text


def question_layers(arguments: argparse.Namespace) -> list[Layer]:
    """What the flags say, then what the answers file says: in this order of precedence."""
    flags = {key: value for name, key in FLAG_KEYS.items() if (value := getattr(arguments, name, None)) is not None}
    layers = [Layer("flag", flags)]
    if getattr(arguments, "answers", None):
        layers.append(read_file(Path(arguments.answers)))
    return layers
