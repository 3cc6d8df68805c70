"""The man page, from the help of every command: `python -m tests.docs.manpage sft-advisor.1`."""

from __future__ import annotations

import sys
from pathlib import Path

from argparse_manpage.manpage import Manpage

from advisor import __version__
from advisor.commands.tree import whole_tree

ABOUT = "recommends how to fine-tune a language model, and starts the run"


def page() -> str:
    """Its text in roff, of no date, so that the same sources make the same bytes."""
    made = Manpage(whole_tree())
    made.date, made.manual, made.version = "", "sft-advisor", __version__
    # "NAME - what it is" on one line is what whatis and apropos read
    return str(made).replace("advisor\n.SH SYNOPSIS", f"advisor \\- {ABOUT}\n.SH SYNOPSIS", 1)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
