"""The documentation site holds everything that the program knows by name, and the example reads what is printed."""

from __future__ import annotations

import re

import msgspec

from advisor.ask.questions import QUESTIONS
from advisor.commands import COMMANDS, UNDER
from advisor.report.document import Answer
from rules.engine import load_rule_book
from tests.docs.site import ROOT, pages


def test_every_command_question_rule_and_source_has_its_place() -> None:
    book, found = load_rule_book(), pages()
    heads = {line.lstrip("# ") for text in found.values() for line in text.splitlines() if line.startswith("##")}
    said = "\n".join(heads)
    assert {f"`sft-advisor {words}`" for words in (*COMMANDS, *UNDER)} <= heads
    assert [rule.id for rule in book.rules if f"{rule.id}:" not in said] == []
    assert [question.key for question in QUESTIONS if question.key not in found["reference/questions.md"]] == []
    assert [key for key in book.sources if key not in found["reference/sources.md"]] == []


def test_links_of_the_site_lead_to_its_pages() -> None:
    found = pages()
    linked = {link for text in found.values() for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)}
    assert linked <= set(found)


def test_the_workflow_reads_fields_that_the_answer_has() -> None:
    text = (ROOT / "docs" / "examples" / "advise.yml").read_text(encoding="utf-8")
    program = text.split("jq -r '")[1].split("' advice.json")[0]
    asked = set(re.findall(r"(?<![\w)\]])\.([a-z_]+)", program)) - {"message", "rule_id", "fix"}
    assert asked >= {"headline", "verdict", "plan", "memory", "reasons", "warnings"}
    assert asked <= {field.name for field in msgspec.structs.fields(Answer)}
