"""The bundled book, loaded once."""

from __future__ import annotations

import pytest

from rules.engine import RuleBook, load_rule_book


@pytest.fixture(scope="session")
def book() -> RuleBook:
    return load_rule_book()
