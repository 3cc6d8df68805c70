"""Every sentence that can be said: literals in calls of `tr`, `later` and `Later`, and tables said through `tr`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

from rules.engine import load_rule_book

PROJECT = Path(__file__).parents[2]
ROOMS = ("advisor", "rules", "trainers")
SAYS = {"tr", "later", "Later"}


@cache
def spoken() -> dict[str, str]:
    """Sentence -> where it stands (file, or table)."""
    found = {sentence: place for place, sentence in _of_tables()}
    for path, sentence in (*_of_templates(), *_of_figures()):
        found.setdefault(sentence, path)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if says(node) and node.args:
                for sentence in _literals(node.args[0]):
                    found.setdefault(sentence, path.relative_to(PROJECT).as_posix())
    return found


def _of_templates() -> Iterator[tuple[str, str]]:
    """The same calls in the templates of the pages."""
    from jinja2 import nodes

    from advisor.report.page.environment import TEMPLATES, environment

    for path in (*sorted(TEMPLATES.rglob("*.html")), *sorted((PROJECT / "trainers").rglob("*.html"))):
        for call in environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "tr" and isinstance(call.args[0], nodes.Const):
                yield path.relative_to(PROJECT).as_posix(), call.args[0].value


def _of_figures() -> Iterator[tuple[str, str]]:
    """Words that a rule's expression chooses for its message."""
    for rule in load_rule_book().rules:
        for expression in rule.show.values():
            for words in re.findall(r'"([a-z][^"?:]* [^"?:]*)"', expression):
                yield f"rule-{rule.id}", words


def modules() -> list[Path]:
    """The files that can say something."""
    paths = [path for room in ROOMS for path in sorted((PROJECT / room).rglob("*.py"))]
    return [path for path in paths if "language import" in path.read_text(encoding="utf-8")]


def says(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether it is a call that takes a sentence."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYS


def _literals(node: ast.expr) -> Iterator[str]:
    """A literal, or both ends of `a if x else b`; what is computed comes from a table."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)


def _of_tables() -> Iterator[tuple[str, str]]:
    from typing import get_args

    from advisor.ask.question import PAGES
    from advisor.ask.questions import QUESTIONS
    from advisor.commands import GROUPS as COMMAND_GROUPS
    from advisor.commands import UNDER
    from advisor.commands.wizard import form
    from advisor.decide.recommendation import Verdict
    from advisor.estimate.result import Phase
    from advisor.report.topics import SETTINGS, setting_texts
    from advisor.report.words import COMPONENT_NAMES, ORIGIN_NAMES
    from rules.facts import FACTS
    from rules.rule import STRENGTHS
    from trainers.exit_codes import MEANINGS
    from trainers.method import METHODS
    from trainers.plan_fields import GROUPS
    from trainers.plan_parts import Artifact

    for question in QUESTIONS:
        for sentence in (question.prompt, question.help, question.why, *question.choices.values()):
            if sentence:
                yield f"question-{question.key}", sentence
    tables = {
        "commands": (
            *COMMAND_GROUPS,
            *(said for group in COMMAND_GROUPS.values() for said in group.values()),
            *UNDER.values(),
        ),
        "facts": (fact.meaning for fact in FACTS),
        "settings": (said for name in SETTINGS for said in setting_texts(name) if said),
        "exit-codes": MEANINGS.values(),
        "pages": PAGES.values(),
        "parts-of-memory": COMPONENT_NAMES.values(),
        "origins": ORIGIN_NAMES.values(),
        "verdicts": (word.replace("_", " ") for word in get_args(Verdict)),
        "phases": (word.replace("_", " ") for word in get_args(Phase)),
        "artifacts": (word.replace("_", " ") for word in get_args(Artifact)),
        "methods": (traits.title for traits in METHODS.values()),
        "strengths": STRENGTHS,
        "groups-of-settings": GROUPS,
        "the-wizard-s-menu": (step.value for step in form.Next),
        "the-wizard": (form.NOT_KNOWN, form.KEYS),
    }
    yield from _of_help()
    for place, sentences in tables.items():
        for sentence in sentences:
            yield place, sentence


def _of_help() -> Iterator[tuple[str, str]]:
    """What `--help` of any command says; flags of questions are made of the questions' own sentences."""
    from advisor.commands.arguments import FLAG_KEYS
    from advisor.commands.helptext import paragraphs
    from advisor.commands.tree import whole_tree

    for parser in whole_tree().parsers():
        place = f"help-{parser.prog}"
        for group in parser._action_groups:
            if group.title:
                yield "help", group.title
        yield from ((place, paragraph) for paragraph in paragraphs(parser.description or "") if paragraph)
        for action in parser._actions:
            listed = getattr(action, "_choices_actions", ())
            if action.dest not in FLAG_KEYS:
                yield from ((place, one.help) for one in (action, *listed) if one.help)
