"""Merges the adapter of a run into its base model, on the CPU, and checks that the logits stay the same."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from trainers.handover.to_gguf import FORMATS

MERGE, DELIVER = "trainers.merging.merge", "trainers.handover.deliver"
Words = Sequence[str | Path]


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
    parser.add_argument("--json", action="store_true", help="what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Merge in a child process. Raises InputError for a folder of several tasks, or a name that nothing would use."""
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
    merge: list[str | Path] = ["--out", arguments.output] if arguments.output else []
    merge += ["--dtype", arguments.dtype] if arguments.dtype else []
    merge += ["--no-check"] if arguments.no_check else []
    deliver: list[str | Path] = ["--folder", arguments.output] if arguments.output else []
    deliver += ["--base-name", arguments.base_name] if arguments.base_name else []
    deliver += ["--gguf", arguments.gguf] if arguments.gguf else []
    act = _as_json if arguments.json else _as_text
    return act(arguments.run, merge, deliver if delivers else None)


def _as_text(run_dir: Path, merge: Words, deliver: Words | None) -> int:
    from advisor.commands.children import run_child

    code = run_child(MERGE, run_dir, *merge)
    return code if code or deliver is None else run_child(DELIVER, run_dir, *deliver)


def _as_json(run_dir: Path, merge: Words, deliver: Words | None) -> int:
    """One document for both children; what was merged is in it also where making it ready failed."""
    import msgspec

    from advisor.commands.children import read_child
    from advisor.commands.output import write_json
    from trainers.foreign.records import decode
    from trainers.handover.deliver import Delivered
    from trainers.handover.merged import Merged

    code, said = read_child(MERGE, run_dir, *merge, "--json")
    if code:
        return code
    merged = decode(said, Merged)
    if deliver is not None:
        code, said = read_child(DELIVER, run_dir, *deliver, "--json")
        merged = msgspec.structs.replace(merged, delivered=None if code else decode(said, Delivered))
    write_json(merged)
    return code
