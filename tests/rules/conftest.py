"""The bundled book, loaded once, another like it, and a writer of small ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rules.engine import RuleBook, load_rule_book

Write = Callable[..., None]
OTHER_BOOK = load_rule_book()
"""A second book, so that nothing remembered by the first can hide a difference."""

RULE = """id = "{id}"
title = "{title}"
when = '{when}'
effect = "{effect}"
message = "{message}"
strength = "derived"
sources = ["arithmetic"]
{more}
[[cases]]
name = "fires"
given = {{ "plan.method" = "full", "data.examples" = 77 }}
expect = "fires"
[[cases]]
name = "silent"
given = {{ "plan.method" = "prefix", "data.examples" = 1 }}
expect = "silent"
[[cases]]
name = "unknown"
given = {{}}
expect = "unknown"
"""


@pytest.fixture(scope="session")
def book() -> RuleBook:
    return load_rule_book()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Adds a rule to the book in `tmp_path`."""

    def add(rule_id: str, when: str, *, effect: str = "warn", message: str = "It holds.", more: str = "") -> None:
        title = f"Test {rule_id.lower()}"
        text = RULE.format(id=rule_id, title=title, when=when, effect=effect, message=message, more=more)
        (tmp_path / f"{rule_id}-test-{rule_id.lower()}.toml").write_text(text)

    return add
