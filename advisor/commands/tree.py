"""Every command in one parser, for what is made from all of them: completion scripts and the man page.

    eval "$(sft-advisor --completion bash)"      or zsh; in fish: sft-advisor --completion fish | source

A call builds the parser of its own command alone (advisor/commands/cli.py); this one parses nothing.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from advisor.ask.questions import BY_KEY
from advisor.commands import COMMANDS, UNDER, find, module_of
from advisor.commands.arguments import FLAG_KEYS, Parser, Words

FILES = ("FILE", "PLAN.toml", "DATA", "PATH", "NAME")
"""Words that stand for a file or folder in usage lines."""


def completion(shell: str) -> str:
    """The script for one of SHELLS that completes commands, flags, values of closed sets and files."""
    import shtab

    tree = whole_tree()
    for action in tree.everything():
        _complete(action)
    return str(shtab.complete(tree, shell))


def _complete(action: argparse.Action) -> None:
    """Tells shtab what the values are, where argparse itself need not know."""
    import shtab

    question = BY_KEY.get(FLAG_KEYS.get(action.dest, ""))
    if question is not None and (question.choices or question.kind == "bool"):
        action.choices = [*question.choices] or ["yes", "no"]
    elif action.metavar == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is Path or action.metavar in FILES or (question and question.key == "dataset"):
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def whole_tree() -> Parser:
    """The bare program with all commands below it, and what stands under them."""
    root = Parser(prog="sft-advisor", description=_about("advise"))
    import_module(module_of("advise")).add_arguments(root)
    kinds = root.add_subparsers(metavar="COMMAND", title="commands")
    for name, meaning in COMMANDS.items():
        _with_words(name, _add(kinds, name, name, meaning))
    return root


def _with_words(name: str, parser: Parser) -> None:
    """Adds the commands that stand under `name`."""
    words = [words for words in UNDER if words.split()[0] == name]
    if not words:
        return
    kinds = parser.words() or parser.add_subparsers(metavar="WORD", title="words", required=False)
    for each in words:
        _add(kinds, each, each.split()[1], UNDER[each])


def _add(kinds: Words[Parser], words: str, name: str, meaning: str) -> Parser:
    """The parser of the command called `words`, as `name` of its kind."""
    found = find(words.split())
    if found is None:
        raise AssertionError(f"{words} is no command")
    description = _about(found.file)
    parser = kinds.add_parser(name, prog=f"sft-advisor {words}", help=meaning, description=description)
    import_module(module_of(found.file)).add_arguments(parser)
    return parser


def _about(file: str) -> str:
    return (import_module(module_of(file)).__doc__ or "").strip()
