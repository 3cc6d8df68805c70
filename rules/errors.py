"""What is wrong with a rule book, all of it at once: what, why, what to do, and where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec


class RuleProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a rule, a source or a scenario; `where` is `file:line` where it can be."""

    what: str
    why: str = ""
    fix: str = ""
    where: str = ""


class RuleError(ValueError):
    """A rule book, a set of facts or a scenario that cannot be used; carries every problem found."""

    def __init__(self, *problems: RuleProblem) -> None:
        self.problems = problems
        super().__init__("\n".join(_sentence(problem) for problem in problems))


def nearest_name(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that looks most like `name`, or None when none is close."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return close[0] if close else None


def did_you_mean(name: str, allowed: Iterable[str], otherwise: str = "") -> str:
    """A sentence that proposes the nearest allowed name, or `otherwise`."""
    close = nearest_name(name, allowed)
    return f"Did you mean {close!r}?" if close else otherwise


def place(path: Path | str, text: str, key: str) -> str:
    """`file:line` of a key in a TOML text, or the file alone."""
    pattern = re.compile(rf"^\s*(\[\[?)?\"?{re.escape(key)}\"?\s*(\]\]?)?\s*(=|$)")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return f"{path}:{number}"
    return str(path)


def _sentence(problem: RuleProblem) -> str:
    parts = [f"{problem.where}: " if problem.where else "", problem.what]
    parts += [f" ({problem.why})" if problem.why else "", f" {problem.fix}" if problem.fix else ""]
    return "".join(parts)
