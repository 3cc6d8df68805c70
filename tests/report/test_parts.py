"""Every part of the answer is shown by each report, or is named here as background."""

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
NOT_SHOWN = {
    "terminal": BACKGROUND | {"answers", "data", "fact_reasons", "repairs", "traces"},
    "page": BACKGROUND | {"fact_reasons"},
}
"""In the terminal the person has just given the answers and seen the data's own report, repairs stand among the
warnings, and traces are `--trace`'s; how a fact was derived is told by `explain`."""
PLACES = {
    "terminal": "recommendation() in advisor/report/terminal.py",
    "page": "advisor/report/page/templates/answer.html",
}
MARK = "mark of a part"
BOOK = load_rule_book()


class Watched:
    """An answer that notes which of its parts are read."""

    def __init__(self, answer: Recommendation, read: set[str]) -> None:
        self._answer, self._read = answer, read

    def __getattr__(self, name: str) -> Any:
        self._read.add(name)
        return getattr(self._answer, name)


@pytest.mark.parametrize("report", PLACES)
def test_each_part_is_read_by_each_report(report: str) -> None:
    read: set[str] = set()
    for answer in (made.recommendation(), made.nothing_fits(), made.gated()):
        watched: Any = Watched(answer, read)
        if report == "terminal":
            printed(recommendation(watched), 140)
        else:
            render(watched, BOOK, "2026-01-31")
    missing = set(FIELDS) - read - NOT_SHOWN[report]
    assert not missing, f"{PLACES[report]} does not show {', '.join(sorted(missing))}"


@pytest.mark.parametrize("name", [name for name in SENTENCES if name not in BACKGROUND])
def test_a_sentence_is_shown_by_the_terminal_and_by_the_page(name: str) -> None:
    value: Any = MARK if FIELDS[name].type is str else (MARK,)
    result = msgspec.structs.replace(made.recommendation(), **{name: value})
    on_terminal = one_paragraph(printed(recommendation(result), 140))
    assert MARK in on_terminal, f"{PLACES['terminal']} does not show {name}"
    page = render(result, BOOK, "2026-01-31")
    assert MARK in page, f"{PLACES['page']} does not show {name}"
