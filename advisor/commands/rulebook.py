"""The rule book as the commands read it: compiled once per user, and kept in that user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base import language
from trainers.folders import cache_folder

if TYPE_CHECKING:
    from rules.engine import RuleBook


def read_rule_book(own: Path | None = None) -> RuleBook:
    """The bundled rules, with an organisation's folder on top, in the language in use.

    Raises RuleError with every problem.
    """
    from rules.engine import load_rule_book

    try:
        kept = cache_folder()
    except RuntimeError:  # a user without a home: the rules are compiled each time
        kept = None
    return load_rule_book(own, kept, language.current())
