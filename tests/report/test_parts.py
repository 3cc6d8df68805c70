"""Every sentence of the answer is shown by each report, or is named here as background."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from advisor.decide.recommendation import Recommendation
from advisor.report.page.report import render
from advisor.report.terminal import recommendation
from rules.engine import load_rule_book
from tests.report import made_by_hand as made
from tests.report.test_terminal import one_paragraph, printed

FIELDS = {field.name: field for field in msgspec.structs.fields(Recommendation)}
SENTENCES = [name for name, field in FIELDS.items() if field.type in (str, tuple[str, ...])]
BACKGROUND = {"schema", "advisor_version"}
"""For programs that read the JSON."""
MARK = "mark of a part"
BOOK = load_rule_book()


@pytest.mark.parametrize("name", [name for name in SENTENCES if name not in BACKGROUND])
def test_a_sentence_is_shown_by_the_terminal_and_by_the_page(name: str) -> None:
    value: Any = MARK if FIELDS[name].type is str else (MARK,)
    result = msgspec.structs.replace(made.recommendation(), **{name: value})
    on_terminal = one_paragraph(printed(recommendation(result), 140))
    assert MARK in on_terminal, f"recommendation() in advisor/report/terminal.py does not show {name}"
    page = render(result, BOOK, "2026-01-31")
    assert MARK in page, f"advisor/report/page/templates/answer.html does not show {name}"
