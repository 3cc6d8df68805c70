"""Shows what of a run would go to a hub, and sends it with --send: model card, weights, tokenizer, GGUF files.

Nothing leaves this machine without --send. A new repository is private unless --public says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and where to."""
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument("repository", metavar="ORG/NAME", help="the repository on the hub")
    parser.add_argument(
        "--folder", metavar="DIR", type=Path, help="folder of the result (RUN/merged, else RUN/result)"
    )
    parser.add_argument("--public", action="store_true", help="for everybody to see, if the repository is new")
    parser.add_argument("--send", action="store_true", help="really send it")
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace) -> int:
    """List, and send, in a child process: the hub's library reads its settings when it is imported."""
    from advisor.commands.children import run_child
    from advisor.commands.following import require_one_run

    require_one_run(arguments.run, "runs push")
    more: list[str | Path] = ["--folder", arguments.folder] if arguments.folder else []
    more += [f"--{name}" for name in ("public", "send", "json") if getattr(arguments, name)]
    return run_child("trainers.handover.push", arguments.run, arguments.repository, *more)
