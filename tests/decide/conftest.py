"""One rule book and a short way to a recommendation, shared by the tests of the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from advisor.advise import advise
from advisor.model import resolve_model
from advisor.probe import hardware_from_text
from advisor.recommendation import Recommendation
from rules.engine import RuleBook, load_rule_book

CHATS: dict[str, Any] = {
    "data.kind": "chat",
    "data.examples": 5_000,
    "data.completion_tokens": 2_000_000,
    "data.total_tokens": 4_000_000,
    "data.len_p95": 1_500,
    "task.count": 1,
    "task.priority": "quality",
    "task.prompting_tried": True,
}

Advise = Callable[..., Recommendation]


@pytest.fixture(scope="session")
def book() -> RuleBook:
    return load_rule_book()


@pytest.fixture(scope="session")
def recommend(book: RuleBook) -> Advise:
    def run(hardware: str, model: str, search_changes: bool = False, **answers: Any) -> Recommendation:
        given = CHATS | {key.replace("__", "."): value for key, value in answers.items()}
        return advise(
            {key: value for key, value in given.items() if value is not None},
            hardware_from_text(hardware),
            resolve_model(model),
            None,
            book,
            search_changes=search_changes,
        )

    return run
