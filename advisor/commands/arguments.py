"""The argument parser of one command: argparse with errors in the house's form, and flags read from the tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from advisor.ask.answers import Layer, read_file
from advisor.ask.question import PAGES, Page, Question
from advisor.ask.questions import BY_KEY, QUESTIONS, on_page
from advisor.base.errors import InputError, Problem, nearest
from advisor.base.language import tr
from advisor.commands import DASHES, UNDER
from advisor.commands.helptext import Formatter
from advisor.commands.named import named_problems
from advisor.commands.numbers import UnusableError
from trainers.foreign.text import shell

FLAG_KEYS = {"_" + question.key.replace(".", "__"): question.key for question in QUESTIONS}


REQUIRED, ABOUT = " required: ", "argument "
"""What argparse writes before the names of what is missing, and before that of what is wrong."""
Words = argparse._SubParsersAction
"""The subcommands of a parser."""


class Parser(argparse.ArgumentParser):
    """Raises InputError instead of printing a usage line and exiting; unknown flags get the nearest name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter} | options)
        self.wrong_values: list[Problem] = []

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Like parse_args. Raises InputError with all that is wrong: unknown arguments, and values of known flags."""
        namespace = argparse.Namespace()
        arguments, dashes = self._with_hyphens(arguments)
        try:
            _, unknown = self.parse_known_args(arguments, namespace)
            parser = self._chosen(namespace)
            problems = [parser._unknown(argument) for argument in unknown if self._is_new(argument, unknown)]
        except InputError as error:
            # argparse could not continue, so the arguments after this place were not looked at
            unknown = [argument for argument in arguments if self._is_unknown_flag(argument)]
            problems = [*error.problems, *map(self._unknown, unknown), *self._left_out(error, arguments)]
        problems += [problem for parser in self.parsers() for problem in parser.wrong_values]
        problems += [*dashes, *_plan_problems(namespace)]
        if problems:
            # what a command would find when it looks at the answers must not wait for the next call
            raise InputError(*problems, *_answer_problems(namespace), *named_problems(namespace))
        return namespace

    def _print_message(self, message: str, file: Any = None) -> None:
        """Called by argparse with help, of which it would not say that it cannot be printed."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Called by argparse for wrong usage."""
        raise InputError(self._said(message))

    def _said(self, message: str) -> Problem:
        """What argparse says, in our words; how it words it is pinned by tests/commands/test_bad_input.py."""
        if names := message.partition(REQUIRED)[2]:
            what = tr("the following arguments are required: {names}", names=names)
            return Problem(what=what, fix=f"{self.prog} --help")
        name, _, what = message.removeprefix(ABOUT).partition(": ")
        action = next((one for one in self.everything() if name in ("/".join(one.option_strings), one.metavar)), None)
        if action is None or not message.startswith(ABOUT):
            return Problem(what=message, fix=f"{self.prog} --help")
        if what.startswith("expected "):
            question = BY_KEY.get(FLAG_KEYS.get(action.dest, ""))
            return Problem(
                what=tr("{name} needs a value", name=_name(action)),
                why=tr("one that begins with '-' is written {name}=VALUE", name=_name(action)),
                fix=f"{_name(action)} {shell(question.example)}"
                if question and question.example
                else f"{self.prog} --help",
            )
        return Problem(what=f"{_name(action)}: {what}", fix=f"{self.prog} --help")

    def _left_out(self, error: InputError, arguments: Sequence[str]) -> list[Problem]:
        """What argparse had not come to ask for: the flags that must be there and are not."""
        told = " ".join(problem.what for problem in error.problems)
        given = {argument.partition("=")[0] for argument in arguments}
        wanted = [action for action in self._actions if action.required and action.option_strings]
        names = [_name(action) for action in wanted if not given.intersection(action.option_strings)]
        return [self._said(f"{REQUIRED}{name}") for name in names if name not in told]

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Called by argparse for each value; one that cannot be converted is kept for `parse`."""
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            expected, fix = "", f"{self.prog} --help"
            if isinstance(error.__context__, UnusableError):
                expected, fix = error.message, f"{_name(action)} {shell(error.__context__.example)}"
            elif action.type is int:
                expected = tr("a whole number is expected")
            self.wrong_values.append(
                Problem(
                    what=tr("{name} cannot be {value!r}", name=_name(action), value=arg_string),
                    why=expected or error.message,
                    fix=fix,
                )
            )
            return None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Called by argparse for each value of an argument with a closed set; a wrong one is kept for `parse`."""
        if action.choices is None or value is None or value in action.choices:
            return
        under = [] if action.option_strings else [each.split() for each in UNDER]
        allowed = [*map(str, action.choices), *(word for name, word in under if self.prog.endswith(f" {name}"))]
        close = nearest(str(value), allowed)
        problem = Problem(
            what=tr("{name} cannot be {value!r}", name=_name(action), value=value),
            why=tr("allowed are {allowed}", allowed=", ".join(allowed)),
            fix=tr("did you mean {close}?", close=close) if close else f"{self.prog} --help",
        )
        if isinstance(action, argparse._SubParsersAction):
            raise InputError(problem)  # what follows is for a parser that does not exist
        self.wrong_values.append(problem)

    def parsers(self) -> Iterator[Parser]:
        """This parser and those of its subcommands."""
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser.parsers()

    def _chosen(self, namespace: argparse.Namespace) -> Parser:
        """The parser of the subcommand that was named; this one when there is none."""
        name = str(getattr(namespace, "action", None))
        words = self.words()
        chosen: Parser = words.choices.get(name, self) if words else self
        return chosen

    def words(self) -> Words[Any] | None:
        """What holds the subcommands; None where there are none."""
        return next((action for action in self._actions if isinstance(action, argparse._SubParsersAction)), None)

    def everything(self) -> Iterator[argparse.Action]:
        """Every argument of this parser and of those of its subcommands."""
        return (action for parser in self.parsers() for action in parser._actions)

    def flags(self) -> list[str]:
        """Every flag of this parser and of those of its subcommands."""
        actions = [action for parser in self.parsers() for action in parser._actions]
        return [flag for action in actions for flag in action.option_strings if flag.startswith("--")]

    def _is_unknown_flag(self, argument: str) -> bool:
        name = argument.partition("=")[0]
        return name.startswith("--") and name != "--" and not any(flag.startswith(name) for flag in self.flags())

    def _with_hyphens(self, arguments: Sequence[str]) -> tuple[list[str], list[Problem]]:
        """The arguments with hyphens before the names of flags, and a problem for each that had another dash."""
        mended, problems = [], []
        for argument in arguments:
            name, stated, value = argument.partition("=")
            flag = "--" + name.lstrip("-" + "".join(DASHES))
            is_flag = name.lstrip("-").startswith(DASHES) and flag in self.flags()
            mended.append(flag + stated + value if is_flag else argument)
            if is_flag:
                what = tr("{name!r} begins with a dash that is no hyphen", name=name)
                why = tr("programs that write text put such dashes in place of two hyphens")
                problems.append(Problem(what=what, why=why, fix=flag))
        return mended, problems

    def _is_new(self, argument: str, unknown: Sequence[str]) -> bool:
        """False for the value that follows an unknown flag: the flag is the problem."""
        place = list(unknown).index(argument)
        return argument.startswith("-") or place == 0 or not unknown[place - 1].startswith("-")

    def in_its_words(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """The problems, without the flags of other commands as the place where to look for them."""
        flags = set(self.flags())
        foreign = [problem.where.startswith("--") and problem.where not in flags for problem in problems]
        return tuple(
            msgspec.structs.replace(problem, where="") if elsewhere else problem
            for problem, elsewhere in zip(problems, foreign, strict=True)
        )

    def _unknown(self, argument: str) -> Problem:
        name = argument.partition("=")[0]
        bare = {flag.lstrip("-"): flag for flag in self.flags()}
        close = bare.get(nearest(name.lstrip("-"), bare) or "") if name.startswith("-") else None
        what = (
            tr("{name} is not a flag of {prog}", name=name, prog=self.prog)
            if name.startswith("-")
            else tr("{name!r} was not expected", name=name)
        )
        return Problem(
            what=what,
            fix=tr("did you mean {close}?", close=close)
            if close
            else tr("{prog} --help lists all flags", prog=self.prog),
        )


def _name(action: argparse.Action) -> str:
    """An argument as its user knows it: the flag, else the word in the usage line."""
    if action.option_strings:
        return action.option_strings[0]
    return action.metavar if isinstance(action.metavar, str) else action.dest


def add_question_flags(parser: argparse.ArgumentParser, pages: Iterable[Page] = PAGES) -> None:
    """One flag for each question, grouped by page."""
    for page in pages:
        group = parser.add_argument_group(tr(PAGES[page]))
        for question in on_page(page):
            _add_flag(group, question)


def add_questions(parser: argparse.ArgumentParser, title: str, keys: Iterable[str]) -> None:
    """The flags of these questions alone, under one title."""
    from advisor.ask.questions import BY_KEY

    group = parser.add_argument_group(title)
    for key in keys:
        _add_flag(group, BY_KEY[key])


def _add_flag(group: argparse._ArgumentGroup, question: Question) -> None:
    options: dict[str, Any] = {"default": None, "dest": "_" + question.key.replace(".", "__")}
    if question.kind == "bool":
        options |= {"nargs": "?", "const": "yes", "metavar": "yes|no"}
    elif question.choices:
        options["metavar"] = "|".join(question.choices) if len(question.choices) <= 3 else "NAME"
    else:
        options["metavar"] = {"int": "N", "length": "N", "size": "SIZE", "path": "DIR"}.get(question.kind, "TEXT")
    group.add_argument(question.flag, help=_flag_help(question).replace("%", "%%"), **options)


def _flag_help(question: Question) -> str:
    text = tr(question.prompt)
    if len(question.choices) > 3:
        text += f" ({', '.join(question.choices)})"
    if question.example:
        text += tr(" e.g. {example}", example=question.example)
    if question.kind == "length":
        text += tr(" (1k is 1024)")
    return text


def question_layers(arguments: argparse.Namespace) -> list[Layer]:
    """What the flags say, then what the answers file says: in this order of precedence."""
    layers = [_flag_layer(arguments)]
    if getattr(arguments, "answers", None):
        layers.append(read_file(Path(arguments.answers)))
    return layers


def _flag_layer(arguments: argparse.Namespace) -> Layer:
    values = {name: getattr(arguments, name, None) for name in FLAG_KEYS}
    return Layer("flag", {FLAG_KEYS[name]: value for name, value in values.items() if value is not None})


def _answer_problems(arguments: argparse.Namespace) -> list[Problem]:
    """What is wrong with the answers that were given; those that are missing may be behind an unknown flag."""
    from advisor.commands.measure import wrong_answers

    try:
        return wrong_answers(question_layers(arguments))
    except InputError as error:  # the answers file cannot be read
        return [*error.problems, *wrong_answers([_flag_layer(arguments)])]


def _plan_problems(arguments: argparse.Namespace) -> list[Problem]:
    """What is wrong with the plan fields that were given as flags."""
    from advisor.commands.planflags import plan_values

    try:
        plan_values(arguments)
    except InputError as error:
        return list(error.problems)
    return []
