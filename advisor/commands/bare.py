"""Values that were typed without their flag: a model, a dataset, a machine or a plan where a command was expected."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.commands import Command
from trainers.foreign.text import shell_line

TAKES_VALUES = ("estimate", "map", "where")
"""Commands that take a word, and questions by their flags as well."""


def flag_of(word: str) -> str | None:
    """The flag whose value the word is; None where it is none that can be told."""
    from advisor.model.catalog import find
    from trainers.examples.files import kind_of

    path = Path(word)
    if kind_of(path):
        return "--hardware" if path.suffix == ".json" and _is_machine(word) else "--dataset"
    if path.is_dir():
        return "--model" if (path / "config.json").is_file() else "--dataset"
    if path.suffix == ".gguf" or find(word) is not None:
        return "--model"
    return "--hardware" if _is_machine(word) else None


def _is_machine(word: str) -> bool:
    from advisor.probe.describe import hardware_from_text

    try:
        hardware_from_text(word)
    except InputError:
        return False
    return True


def with_flags(words: Sequence[str]) -> list[str]:
    """The words as an answer is asked for, each value behind its flag; [] where the first one is none."""
    if words[0].endswith(".toml") and Path(words[0]).is_file():
        return ["launch", *words]
    line: list[str] = []
    for place, word in enumerate(words):
        follows_a_flag = place > 0 and words[place - 1].startswith("-")
        flag = None if word.startswith("-") or follows_a_flag else flag_of(word)
        line += [flag, word] if flag else [word]
    return line if line[0] != words[0] else []


def with_its_flag(command: Command, flags: Collection[str], problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems; the one that a bare word made says behind which flag of the command it belongs."""
    word = command.arguments[0] if command.arguments else "-"
    if command.words == "explain" and word.startswith("--"):
        line = shell_line(["sft-advisor", "explain", word.lstrip("-")])
        return tuple(
            msgspec.structs.replace(problem, fix=line) if word in problem.what else problem for problem in problems
        )
    if command.words not in TAKES_VALUES or word.startswith("-"):
        return tuple(problems)
    flag = flag_of(word)
    if flag is None or flag not in flags:
        return tuple(problems)
    line = shell_line(["sft-advisor", command.words, flag, *command.arguments])
    return tuple(
        msgspec.structs.replace(problem, fix=line)
        if word in problem.what or problem.fix.startswith(f"{flag} ")
        else problem
        for problem in problems
    )
