"""Printing: documents and screens on stdout, remarks on stderr."""

from __future__ import annotations

import errno
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.base.errors import InputError, MachineError, Problem
from advisor.base.language import tr
from trainers.foreign.text import terminal

if TYPE_CHECKING:
    from rich.console import Console

NOT_HERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""What writing to a lawful place ends with on a machine that does not let it."""
MAX_WIDTH = 140
"""Lines longer than this are hard to read, however wide the terminal is."""


def follow_clicolor(environment: MutableMapping[str, str]) -> None:
    """Says by NO_COLOR and FORCE_COLOR, which rich and the prompts read, what CLICOLOR and CLICOLOR_FORCE ask for.

    NO_COLOR wins over both, and CLICOLOR_FORCE over CLICOLOR (https://bixense.com/clicolors/).
    """
    if environment.get("NO_COLOR"):
        return
    if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        environment["FORCE_COLOR"] = "1"
    elif environment.get("CLICOLOR") == "0":
        environment["NO_COLOR"] = "1"


def console(*, plain: bool = False) -> Console:
    """A console for stdout; NO_COLOR and pipes are respected by rich. A `plain` one prints words alone."""
    from advisor.report.screen import Screen

    screen = Screen(plain=plain, highlight=False, markup=False, emoji=False)
    screen.width = min(screen.width, MAX_WIDTH)
    return screen


def show(*renderables: Any) -> None:
    """Print things that rich can render."""
    screen = console()
    for renderable in renderables:
        screen.print(renderable)


def write_json(document: Any) -> None:
    """One JSON document on stdout, and nothing else; UTF-8 whatever the terminal speaks."""
    from trainers.foreign.records import printable

    printed = printable(document)
    raw = getattr(sys.stdout, "buffer", None)
    if raw is None:
        write_text(printed)
        return
    sys.stdout.flush()
    raw.write(printed.encode() + b"\n")
    raw.flush()


def write_text(text: str) -> None:
    """Text on stdout with one line end; not wrapped, not coloured."""
    sys.stdout.write(terminal(text.rstrip("\n")) + "\n")
    sys.stdout.flush()


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step.

    Raises InputError where its place is none, MachineError where the machine does not let it be written.
    """
    from trainers.writing import write_atomically

    try:
        write_atomically(path, content)
    except OSError as error:
        kind = MachineError if error.errno in NOT_HERE else InputError
        raise kind(
            Problem(
                what=tr("cannot write {path}", path=path),
                why=error.strerror or str(error),
                fix=tr("name a file in a folder that you may write to"),
            )
        ) from error


def remark(text: str) -> None:
    """A line for a person, on stderr."""
    print(terminal(text), file=sys.stderr)


def echo(piece: bytes) -> None:
    """What a child process printed, on stderr as it comes; its progress lines may start a line anew."""
    lines = piece.decode(errors="replace").split("\r")
    sys.stderr.write("\r".join(map(terminal, lines)))
    sys.stderr.flush()
