"""The commands, one file each: `add_arguments(parser)` and `run(arguments) -> exit code`.

With cli.py they are the only code that prints. Libraries are imported inside the functions that need them.
A command at the top is a row of GROUPS, one under another a row of UNDER, and its file is called like its last word
unless FILES says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

GROUPS: dict[str, dict[str, str]] = {
    "decide": {
        "ui": "the tool as a page in your browser, on this machine only",
        "map": "what can be trained here: models by method and length, with hours",
        "where": "where to train it: places and GPUs by money and by hours, offline",
        "estimate": "memory, time and disk of any plan",
        "explain": "methods, rules, settings, sources, the whole decision flow, or the last answer",
    },
    "look first": {
        "probe": "what this machine offers, what is taken and by whom; its speed, and the models that are known",
        "data": "check a dataset before any GPU time is spent; convert it",
        "doctor": "check driver, torch and libraries against each other",
    },
    "train": {
        "launch": "run a plan, or try its longest batch first",
        "train": "run one method directly: full, lora, qlora or another; several adapters over one base",
        "race": "try a plan against other methods, ranks and rates on your data, and say who won",
        "runs": "list runs, watch one, compare two, talk to one, write its report; resume and merge",
        "try": "train the small embedded model here and show what changed",
    },
    "hand on": {
        "export": "translate a plan for another tool, or for a cluster",
        "mcp": "serve the advisor to coding agents (Model Context Protocol)",
        "rules": "list, check, test and write rules; the JSON Schema of a document",
    },
}
"""What the command is for -> command -> what it does, in the order in which help lists them."""
COMMANDS = {name: meaning for group in GROUPS.values() for name, meaning in group.items()}
"""Command at the top -> what it does."""
UNDER = {
    "doctor vet": "what a stranger's model, dataset, run or plan holds that should be known first",
    "doctor verify": "train a matrix of small plans here, against what is predicted and claimed",
    "launch preflight": "try the longest batch of a plan for real, in seconds",
    "train multitask": "train several adapters over one base and compare them on every task",
    "runs resume": "continue a run that was stopped or killed",
    "runs merge": "merge the adapter of a run into its base model",
    "runs push": "show what of a run would go to a hub, and send it on request",
    "rules schema": "print the JSON Schema of a document",
}
"""Command under another -> what it does. Words of a command's own (`probe bench`, `data convert`) are not here."""
OLD_NAMES = {
    "vet": "doctor vet",
    "preflight": "launch preflight",
    "multitask": "train multitask",
    "resume": "runs resume",
    "merge": "runs merge",
    "schema": "rules schema",
}
"""Commands of 0.1 that stood at the top -> where they are now. They go with the release after 0.2."""
FILES = {"try": "demo"}
"""Where a file cannot be called like its command."""


def module_of(file: str) -> str:
    """The module of a command's file."""
    return f"advisor.commands.{file}"


DASHES = tuple("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
"""What stands in pasted text where a flag has hyphens."""
SHELLS = ("bash", "zsh", "fish")
"""Shells that `--completion` writes a script for."""


class Command(NamedTuple):
    """What was asked for: the words that name it, its file, and the arguments that are left."""

    words: str
    file: str
    arguments: list[str]
    old_name: str = ""
    """What it was called by, where that is a name of 0.1."""


def find(arguments: Sequence[str]) -> Command | None:
    """The command that the first words name, new or old; None when no command is called so."""
    name, *rest = arguments
    words = OLD_NAMES.get(name, name)
    if rest and f"{words} {rest[0]}" in UNDER:
        words, rest = f"{words} {rest[0]}", rest[1:]
    if words not in COMMANDS and words not in UNDER:
        return None
    last = words.split()[-1]
    return Command(words, FILES.get(last, last), rest, name if name in OLD_NAMES else "")
