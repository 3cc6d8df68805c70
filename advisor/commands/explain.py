"""Explains a method, a rule, a source or a fact, the whole decision flow, or the last recommendation.

sft-advisor explain lora | HYP-01 | flow | facts | rules | sources | last
sft-advisor explain flow --format mermaid
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to explain, and how."""
    parser.add_argument("topic", nargs="?", default="peft", help="default: full against parameter-efficient tuning")
    parser.add_argument("--format", choices=("terminal", "markdown", "mermaid"), default="terminal")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    from advisor.commands.output import show, write_text
    from advisor.errors import InputError, Problem

    if arguments.topic == "last":
        from advisor.commands.last import recall
        from advisor.report.terminal import recommendation

        show(recommendation(recall()))
        return 0
    from rules.engine import load_rule_book
    from rules.explain import explain, flow_mermaid

    book = load_rule_book(arguments.rules)
    if arguments.format == "mermaid":
        if arguments.topic not in ("flow", "peft"):
            raise InputError(
                Problem(
                    what=f"{arguments.topic} has no diagram",
                    why="only the decision flow is drawn",
                    fix="sft-advisor explain flow --format mermaid",
                )
            )
        write_text(flow_mermaid(book))
        return 0
    page = explain(arguments.topic, book)
    if arguments.format == "markdown" or arguments.topic.lower() == "flow":
        write_text(page)
    else:
        from rich.markdown import Markdown

        show(Markdown(page, hyperlinks=False))
    return 0
