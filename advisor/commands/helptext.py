"""Help as it is printed: as wide as the terminal, and in the language in use.

Help is written in English where a flag is declared, and said by `tr` here, when somebody asks for it: a command that
is carried out looks nothing up.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from collections.abc import Iterable

from advisor.base.language import tr

WIDEST = 120
CLOSING = "，。：；、！？）」』”’"
"""Signs that no line begins with."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse asks for a formatter with every argument, and its own way to find the
    width imports five libraries, so the width is found here."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(_columns(), WIDEST) - 2)

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        """Called by argparse with the usage line, and by itself with another prefix while it makes names."""
        super().add_usage(usage, actions, groups, tr("usage: ") if prefix is None else prefix)

    def start_section(self, heading: str | None) -> None:
        """Called by argparse with the title of a group."""
        super().start_section(tr(heading) if heading else heading)

    def add_text(self, text: str | None) -> None:
        """Called by argparse with description and epilog."""
        super().add_text("\n\n".join(map(tr, paragraphs(text))) if text and text is not argparse.SUPPRESS else text)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        """Called by argparse with each flag, before values are put into its help."""
        return tr(action.help) if action.help else action.help

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Called by argparse with each help; Chinese has no blanks to break at, and its signs are wide."""
        return super()._split_lines(text, width) if text.isascii() else wrapped(text, width)


def paragraphs(text: str) -> list[str]:
    """What stands between empty lines: what is translated together."""
    return text.split("\n\n")


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at blanks and beside wide signs."""
    lines, line = [], ""
    for piece in re.findall(r"\s+|[!-~]+|.", text):
        if line and piece not in CLOSING and columns(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()]


def columns(text: str) -> int:
    """Columns of a terminal that the text takes."""
    from unicodedata import east_asian_width

    return len(text) + sum(east_asian_width(sign) in "WF" for sign in text)


def _columns() -> int:
    with contextlib.suppress(ValueError):
        if (given := int(os.environ.get("COLUMNS", ""))) > 20:
            return given
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80
