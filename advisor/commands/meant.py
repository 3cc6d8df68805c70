"""The command that somebody meant who typed words that are none, across all groups."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from advisor.base.errors import Problem, nearest
from advisor.base.language import tr
from advisor.commands import COMMANDS, OLD_NAMES, UNDER, Command
from advisor.commands.bare import with_flags
from trainers.foreign.text import shell_line

FLAGS_AS_WORDS = {"version": "--version", "help": "--help", "completion": "--completion bash"}
"""What people type without its dashes -> what it is."""
TAKES_ANY_WORD = ("explain", "map", "where")
"""Commands whose first word is a topic or a name, never a word of theirs."""
ALIKE = 0.8
"""How much alike a word of another group must be (as difflib counts) before it is named."""


def unknown_command(arguments: Sequence[str]) -> Problem:
    """The first word is no command: which ones there are, and what was meant."""
    name, *rest = arguments
    return Problem(
        what=tr("{name!r} is not a command", name=name),
        why=tr("commands are {commands}", commands=", ".join(COMMANDS)),
        fix=_said(_at_the_top(name, rest) or _asked(arguments)) or "sft-advisor --help",
    )


def with_what_was_meant(command: Command, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems of a command; where its first word is one of another command, that one problem with this as fix.

    What follows such a word is not for this command, so that nothing else is said of it.
    """
    word = command.arguments[0] if command.arguments else "-"
    is_free = command.words not in COMMANDS or command.words in TAKES_ANY_WORD
    about = next((problem for problem in problems if word in problem.what), None)
    if about is None or is_free or word.startswith("-") or Path(word).exists():
        return tuple(problems)
    lines = _under(command.words, word, command.arguments[1:])
    return (msgspec.structs.replace(about, fix=_said(lines)),) if lines else tuple(problems)


def _said(lines: Sequence[Sequence[str]]) -> str:
    meant = "   or   ".join(shell_line(["sft-advisor", *line]) for line in lines)
    return tr("did you mean: sft-advisor {command}", command=meant.removeprefix("sft-advisor ")) if meant else ""


def _asked(arguments: Sequence[str]) -> list[list[str]]:
    line = with_flags(arguments)
    return [line] if line else []


def _at_the_top(name: str, rest: Sequence[str]) -> list[list[str]]:
    """What could have been meant by a first word that is no command; [] where nothing is alike."""
    close = nearest(name, (*COMMANDS, *OLD_NAMES, *FLAGS_AS_WORDS))
    below = _elsewhere(name, 1.0) or ([] if close else _elsewhere(name, ALIKE))
    if below or close is None:
        return [[*path, *rest] for path in below]
    if close in FLAGS_AS_WORDS:
        return [FLAGS_AS_WORDS[close].split()]
    words = OLD_NAMES.get(close, close).split()
    second = nearest(rest[0], _words_of(close)) if rest and close in COMMANDS else None
    return [[*words, second, *rest[1:]] if second else [*words, *rest]]


def _under(name: str, word: str, rest: Sequence[str]) -> list[list[str]]:
    """What could have been meant by a word after a command; [] where it, or one like it, is a word of its own."""
    second = nearest(word, _words_of(name))
    elsewhere = [] if second == word else _elsewhere(word, 1.0 if second else ALIKE)
    if second and not elsewhere:
        return [[name, second, *rest]] if f"{name} {second}" in UNDER else []
    return [[*path, *rest] for path in elsewhere]


def _words_of(name: str) -> list[str]:
    return [second for first, second in two_words() if first == name]


def _elsewhere(word: str, alike: float) -> list[tuple[str, str]]:
    """Commands of two words of which the second is so much alike."""
    import difflib

    compare = difflib.SequenceMatcher(None, word.lower())
    found = []
    for path in two_words():
        compare.set_seq2(path[1])
        if compare.ratio() >= alike:
            found.append(path)
    return found


@cache
def two_words() -> tuple[tuple[str, str], ...]:
    """(command, word that it takes) for every closed set of first words."""
    from advisor.commands.tree import whole_tree

    tree = whole_tree().words()
    own = [(name, word) for name, parser in (tree.choices.items() if tree else ()) for word in _first_words(parser)]
    return tuple(dict.fromkeys([*own, *((first, second) for first, second in map(str.split, UNDER))]))


def _first_words(parser: argparse.ArgumentParser) -> list[str]:
    """Words that can stand first after a command."""
    first = next((action for action in parser._actions if not action.option_strings), None)
    return [str(choice) for choice in (first.choices or ())] if first else []
