"""The command that mends a finding, ready to be pasted, behind what the finding advises."""

from __future__ import annotations

import msgspec

from advisor.data.content.fixes import OVERLAP, command_for
from advisor.data.verdict import Finding
from trainers.examples.mapping import as_flag
from trainers.foreign.text import shell
from trainers.plan import DatasetRef

CONVERTS = frozenset({"foreign-chat", "read-as", "unseen-words"})
"""Findings that converting mends as it is."""


def with_command(finding: Finding, named: DatasetRef, usable: int) -> Finding:
    """The finding with the `data convert` that mends it or leaves its rows out; itself where none does.

    Where all of the `usable` rows show it, none would be left.
    """
    flag = command_for(finding.code)
    if (not flag and finding.code not in CONVERTS) or finding.fix.startswith("--map"):
        return finding
    if flag.startswith("--drop") and finding.rows >= usable:
        return finding
    command = convert_command(named, flag)
    return msgspec.structs.replace(finding, fix=f"{finding.fix}\n{command}".strip())


def convert_command(named: DatasetRef, flag: str = "") -> str:
    """`data convert` for a dataset as the user named it."""
    parts = ["sft-advisor data convert", shell(named.source)]
    parts += [as_flag(named.columns)] if named.columns else []
    parts += [f"--eval-dataset {shell(named.eval_source)}"] if named.eval_source and OVERLAP in flag else []
    parts += [f"--split {shell(named.split)}"] if named.split != "train" else []
    return " ".join([*parts, *([flag] if flag else []), "-o clean.jsonl"])
