"""Pages, the flow, and the generated index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rules.engine import RuleBook
from rules.explain import METHOD_PAGES, PAGES, TOPICS, evidence_date, explain, flow_mermaid, flow_tree, method_page
from rules.index import INDEX, changes_text, index_text
from trainers.method import METHODS


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_a_page(topic: str, book: RuleBook) -> None:
    page = explain(topic, book) or ""
    assert len(page.splitlines()) > 5
    assert "<!--" not in page


def test_every_rule_and_source_has_a_page(book: RuleBook) -> None:
    for rule in book.rules:
        page = explain(rule.id.lower(), book) or ""
        assert rule.when.strip() in page
        assert all(key in page for key in rule.sources)
    for key in book.sources:
        assert "Rules that cite it" in (explain(key, book) or "")


def test_what_speaks_against_a_rule_is_named_with_it_and_with_the_source(book: RuleBook) -> None:
    disputed = [rule for rule in book.rules if rule.against]
    assert disputed
    for rule in disputed:
        page = (explain(rule.id, book) or "").partition("Sources that say otherwise")[2]
        assert all(key in page for key in rule.against)
        assert set(rule.against).isdisjoint(rule.sources)
        spoken = [(explain(key, book) or "").partition("Rules that it speaks against")[2] for key in rule.against]
        assert all(rule.id in page for page in spoken)


def test_a_row_of_the_evidence_shows_its_rules(book: RuleBook) -> None:
    assert "# HW-08" in (explain("K1", book) or "")
    assert "# HW-08" in (explain("r11", book) or "")
    assert "Every weight and every bias" in (explain("SD-FF0", book) or ""), (
        "a definition is on a page, not in a rule"
    )


def test_a_topic_that_is_not_of_the_book_has_no_page(book: RuleBook) -> None:
    assert explain("qlroa", book) is None


def test_method_pages_cite_sources_and_rules_that_exist(book: RuleBook) -> None:
    ids = {rule.id for rule in book.rules}
    for path in PAGES.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\b(?:HW|QUA|DEP|STO|DATA|HYP|PRE|GATE)-\d\d\b", text)) <= ids, path
        cited = {key.strip() for group in re.findall(r"\[([a-z0-9, -]+)\]", text) for key in group.split(",")}
        assert cited <= set(book.sources), path
    assert {path.stem for path in PAGES.glob("*.md")} == set(METHOD_PAGES)


@pytest.mark.parametrize("method", METHODS)
def test_method_pages_say_steps_pros_cons_and_when(method: str) -> None:
    page = method_page(method)
    for heading in ("## Steps", "## For it", "## Against it", "## When to choose it"):
        assert heading in page


def test_the_flow_shows_every_rule(book: RuleBook) -> None:
    tree, mermaid = flow_tree(book), flow_mermaid(book)
    for rule in book.rules:
        assert rule.id in tree
        assert rule.id in mermaid
    assert mermaid.startswith("flowchart TD")
    assert mermaid.count('"') % 2 == 0


def test_the_index_is_fresh(book: RuleBook) -> None:
    assert INDEX.read_text(encoding="utf-8") == index_text(book), "run: python -m rules.index"


def test_links_of_the_index_lead_to_files() -> None:
    for link in re.findall(r"\]\((book/[^)]+)\)", INDEX.read_text(encoding="utf-8")):
        assert (Path(INDEX).parent / link).is_file()


def test_changes_of_the_advice_are_those_of_the_changelog() -> None:
    changelog = (
        "# Changelog\n\n## [2.0]\n\n### Changed\n\n- Advice: more\n  of it.\n- A flag.\n\n### Advice\n\n- Less.\n\n"
        "## [1.0]\n\n### Fixed\n\n- A bug.\n"
    )
    told = changes_text(changelog)
    assert "## [2.0]\n\n- Advice: more\n  of it.\n- Less.\n" in told
    assert "A flag" not in told
    assert "[1.0]" not in told


def test_a_rule_says_when_its_evidence_is_of_and_whether_it_was_read(book: RuleBook) -> None:
    assert evidence_date(book, book.rule("HYP-37")) == "2024 to 2026"
    assert evidence_date(book, book.rule("GATE-09")) == "2024 to 2026, digests only"
    of_digests = {rule.id for rule in book.rules if evidence_date(book, rule).endswith("digests only")}
    assert of_digests
    assert all(book.sources[key].checked != "read" for id in of_digests for key in book.rule(id).sources)
