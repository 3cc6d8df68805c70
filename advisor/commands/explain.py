"""Explains any word of an answer: a method, setting, rule, source, fact, question, finding, exit code, or the flow.

sft-advisor explain lora | learning rate | HYP-01 | task.shift | exit 3 | flow | facts | rules | sources | last
sft-advisor explain flow --format mermaid
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr

if TYPE_CHECKING:
    from rules.engine import RuleBook


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to explain, and how."""
    parser.add_argument("topic", nargs="*", help="one or several words (default: full against adapters)")
    parser.add_argument("--format", choices=("terminal", "markdown", "mermaid"), default="terminal")
    parser.add_argument("--json", action="store_true", help="the page in a JSON document")
    parser.add_argument("--rules", metavar="DIR", type=Path, help="rules of your own, added to the book")


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    from advisor.commands.output import show, write_json, write_text
    from advisor.commands.rulebook import read_rule_book

    topic = " ".join(arguments.topic) or "peft"
    if topic == "last":
        from advisor.commands.last import recall
        from advisor.report.document import answer_document
        from advisor.report.terminal import recommendation

        last = recall()
        write_json(answer_document(last)) if arguments.json else show(recommendation(last))
        return 0
    book = read_rule_book(arguments.rules)
    if arguments.format == "mermaid":
        write_text(_diagram(topic, book))
        return 0
    text = page_about(topic, book)
    if arguments.json:
        from advisor.report.documents import Explanation

        write_json(Explanation(topic=topic, text=text))
    elif arguments.format == "markdown" or topic.lower() == "flow":
        write_text(text)
    else:
        from rich.markdown import Markdown

        show(Markdown(text, hyperlinks=False))
    return 0


def _diagram(topic: str, book: RuleBook) -> str:
    from rules.explain import flow_mermaid

    if topic in ("flow", "peft"):
        return flow_mermaid(book)
    raise InputError(
        Problem(
            what=tr("{topic} has no diagram", topic=topic),
            why=tr("only the decision flow is drawn"),
            fix="sft-advisor explain flow --format mermaid",
        )
    )


def page_about(topic: str, book: RuleBook) -> str:
    """The page of the rule book or of anything else that has this name. Raises InputError with what is near it."""
    from advisor.commands.last import last_answer
    from advisor.report.topics import near, page
    from advisor.report.vocabulary import topic_of
    from rules.explain import TOPICS, explain

    for name in topic_of(topic):
        if (text := explain(name, book) or page(name, book, last_answer())) is not None:
            return text
    close = near(topic, book)
    listed = tr(
        "{topics}, and any rule, source, setting, fact, question, finding or exit code", topics=", ".join(TOPICS)
    )
    raise InputError(
        Problem(
            what=tr("nothing is called {topic!r}", topic=topic),
            why=tr("these speak of it: {close}", close="; ".join(_with_title(name, book) for name in close))
            if close
            else tr("topics are {listed}", listed=listed),
            fix=f"sft-advisor explain {close[0]}" if close else "sft-advisor explain flow",
        )
    )


def _with_title(name: str, book: RuleBook) -> str:
    titles = {rule.id: rule.title for rule in book.rules}
    return f"{name} ({titles[name]})" if name in titles else name
