"""Merges the adapter of a run into its base model, on the CPU, and checks that the logits stay the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from advisor.errors import InputError, Problem
from advisor.language import tr
from trainers.handover.to_gguf import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and where the merged model goes."""
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder of the merged model (default: RUN/merged)")
    parser.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="number format (default: that of the base)")
    parser.add_argument("--no-check", action="store_true", help="do not compare the logits before and after")
    parser.add_argument("--deliver", action="store_true", help="write model card, Modelfile and serve command too")
    parser.add_argument(
        "--base-name", metavar="ORG/MODEL", help="how others find the base, for what --deliver writes"
    )
    parser.add_argument(
        "--gguf",
        nargs="?",
        const=FORMATS[0],
        choices=FORMATS,
        help="also convert with llama.cpp, where it is installed: in 16 bits, or rounded too",
    )


def run(arguments: argparse.Namespace) -> int:
    """Merge in a child process. Raises InputError for a folder of several tasks, or a name that nothing would use."""
    from advisor.commands.children import run_child
    from advisor.commands.following import require_one_run

    delivers = arguments.deliver or arguments.gguf
    if arguments.base_name and not delivers:
        raise InputError(
            Problem(
                what=tr("--base-name is of no use here"),
                why=tr("only --deliver names the base"),
                fix=tr("add --deliver"),
            )
        )
    require_one_run(arguments.run, "runs merge")
    more: list[str | Path] = ["--out", arguments.output] if arguments.output else []
    more += ["--dtype", arguments.dtype] if arguments.dtype else []
    code = run_child("trainers.merging.merge", arguments.run, *more, *(["--no-check"] if arguments.no_check else []))
    if code == 0 and delivers:
        how: list[str | Path] = ["--folder", arguments.output] if arguments.output else []
        how += ["--base-name", arguments.base_name] if arguments.base_name else []
        how += ["--gguf", arguments.gguf] if arguments.gguf else []
        return run_child("trainers.handover.deliver", arguments.run, *how)
    return code
