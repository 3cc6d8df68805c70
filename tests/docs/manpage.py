"""The man page, from the help of every command: `python -m tests.docs.manpage sft-advisor.1`."""

from __future__ import annotations

import sys
from pathlib import Path

from argparse_manpage.manpage import Manpage

from advisor import __version__
from advisor.commands.tree import whole_tree


def page() -> str:
    """Its text in roff, of no date, so that the same sources make the same bytes."""
    made = Manpage(whole_tree())
    made.date, made.manual, made.version = "", "sft-advisor", __version__
    return str(made)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
