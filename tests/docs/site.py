"""The pages of the documentation site, from the code: `make site` writes them and lets mkdocs build the site.

    python -m tests.docs.site build/pages

README and guide as they stand; commands, settings, questions, facts, rules and sources from what the program knows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from advisor.ask.questions import QUESTIONS
from advisor.commands import COMMANDS, UNDER
from advisor.commands.explain import page_about
from advisor.commands.tree import whole_tree
from advisor.report.topics import SETTINGS
from rules.engine import RuleBook, load_rule_book
from rules.facts import FACTS

ROOT = Path(__file__).parents[2]
REPOSITORY_FILES = re.compile(r"\]\((?!https?:|#)(?:\.\./)?([^)#]+)((?:#[^)]*)?)\)")
PAGES = {"README.md": "index.md", "docs/guide.md": "guide.md", "docs/architecture.md": "architecture.md"}
"""Written by hand -> the name on the site."""


def pages() -> dict[str, str]:
    """Name of a page -> its Markdown."""
    book = load_rule_book()
    found = {name: _linked((ROOT / source).read_text(encoding="utf-8")) for source, name in PAGES.items()}
    found["reference/commands.md"] = "# Commands\n\n" + "\n".join(_commands())
    found["reference/settings.md"] = _collected("Settings", sorted(SETTINGS), book)
    found["reference/questions.md"] = _collected("Questions", [question.key for question in QUESTIONS], book)
    found["reference/facts.md"] = _collected("Facts", [fact.path for fact in FACTS], book)
    found["reference/sources.md"] = _collected("Sources", sorted(book.sources), book)
    for group in sorted({rule.group for rule in book.rules}):
        ids = [rule.id for rule in book.rules if rule.group == group]
        found[f"rules/{group}.md"] = _collected(f"Rules: {group}", ids, book)
    return found


def _commands() -> Iterator[str]:
    """The help of each command."""
    root = whole_tree()
    for words in ("", *COMMANDS, *UNDER):
        parser = root
        for word in words.split():
            parser = parser.words().choices[word]
        yield f"## `{f'sft-advisor {words}'.rstrip()}`"
        yield f"\n```text\n{parser.format_help().rstrip()}\n```\n"


def _collected(title: str, topics: list[str], book: RuleBook) -> str:
    """One page of what `explain` says of each topic, their headings one level lower."""
    told = (re.sub(r"^#", "##", page_about(topic, book), flags=re.MULTILINE) for topic in topics)
    return f"# {title}\n\n" + "\n\n".join(told) + "\n"


def _linked(text: str) -> str:
    """Links to files of the repository: to their page where they have one, else plain words."""

    def link(found: re.Match[str]) -> str:
        path, place = found[1], found[2]
        source = next((each for each in PAGES if each.endswith(path)), None)
        if source is not None:
            return f"]({PAGES[source]}{place})"
        return "](rules/quality.md)" if path.endswith("rules/index.md") else "](reference/commands.md)"

    return re.sub(r"!\[[^\]]*\]\([^)]*\)\n?", "", REPOSITORY_FILES.sub(link, text))


if __name__ == "__main__":
    for name, text in pages().items():
        path = Path(sys.argv[1]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
