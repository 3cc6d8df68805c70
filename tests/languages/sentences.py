"""Every sentence that can be said: the calls of `tr` with a literal, and the tables whose entries go through it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ADVISOR = Path(__file__).parents[2] / "advisor"


def spoken() -> dict[str, str]:
    """Sentence -> where it stands (file, or table)."""
    found = {sentence: place for place, sentence in (*_of_tables(), *_of_templates())}
    for path in sorted(ADVISOR.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr" and node.args:
                for sentence in _literals(node.args[0]):
                    found.setdefault(sentence, path.relative_to(ADVISOR.parent).as_posix())
    return found


def _of_templates() -> Iterator[tuple[str, str]]:
    """What the templates of the page say."""
    from jinja2 import nodes

    from advisor.page.environment import TEMPLATES, environment

    for path in sorted(TEMPLATES.rglob("*.html")):
        parsed = environment().parse(path.read_text(encoding="utf-8"))
        for call in parsed.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "tr" and isinstance(call.args[0], nodes.Const):
                yield path.relative_to(ADVISOR.parent).as_posix(), call.args[0].value


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
    from advisor.decide.recommendation import Verdict
    from advisor.estimate.result import Phase
    from advisor.report.words import COMPONENT_NAMES, ORIGIN_NAMES
    from advisor.wizard import form
    from rules.rule import STRENGTHS
    from trainers.method import METHODS
    from trainers.plan_fields import GROUPS
    from trainers.plan_parts import Artifact

    for question in QUESTIONS:
        for sentence in (question.prompt, question.help, question.why, *question.choices.values()):
            if sentence:
                yield f"question-{question.key}", sentence
    tables = {
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
    for place, sentences in tables.items():
        for sentence in sentences:
            yield place, sentence
