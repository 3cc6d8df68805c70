"""The same plan for other tools and for clusters: `export(plan, "axolotl")`, `write(plan, "slurm", folder)`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trainers.errors import PlanRefused
from trainers.plan import TrainingPlan, write_atomically

if TYPE_CHECKING:
    from trainers.export.table import Export

TARGETS: dict[str, str] = {
    "trl": "trainers.export.trl",
    "axolotl": "trainers.export.axolotl",
    "llamafactory": "trainers.export.llama_factory",
    "ms-swift": "trainers.export.ms_swift",
    "slurm": "trainers.launch.slurm",
    "skypilot": "trainers.launch.skypilot",
    "kubernetes": "trainers.launch.kubernetes",
}
"""Name -> the module whose `export(plan)` says the plan in that tool's words."""
TOOLS = frozenset({"trl", "axolotl", "llamafactory", "ms-swift"})
"""Those that train by themselves; the others start our own training process."""
DATA_FILE = "train.jsonl"


def export(plan: TrainingPlan, target: str) -> Export:
    """The plan for `target`, as files and a command. Raises PlanRefused for an unknown target or a hopeless plan."""
    if target not in TARGETS:
        raise PlanRefused(f"{target!r} is no export target", fix=f"choose one of {', '.join(TARGETS)}")
    if target in TOOLS and plan.method in ("prefix", "adapter"):
        raise PlanRefused(
            f"{target} cannot be told to do {plan.method} tuning", fix="launch it here, or plan with --method lora"
        )
    made: Export = import_module(TARGETS[target]).export(plan)
    return made


def write(plan: TrainingPlan, target: str, folder: Path) -> Export:
    """Write the files of `export` into `folder`; rows that other tools read differently become `messages` first.

    Raises PlanRefused as `export` does, and when the dataset cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if target in TOOLS and plan.dataset is not None and _needs_conversion(plan):
        from trainers.export.data import as_messages

        count = as_messages(plan.dataset, folder / DATA_FILE)
        dataset = msgspec.structs.replace(
            plan.dataset, source=str(folder / DATA_FILE), format="messages", num_examples=count, sha256=None
        )
        plan = msgspec.structs.replace(plan, dataset=dataset)
    made = export(plan, target)
    for name, content in made.files.items():
        write_atomically(folder / name, content.encode())
    return made


def _needs_conversion(plan: TrainingPlan) -> bool:
    """Only `messages` in JSON lines mean the same to every tool; a hub id is left to the tool."""
    dataset = plan.dataset
    assert dataset is not None
    local = Path(dataset.source).expanduser().exists()
    return local and not (dataset.format in ("messages", "text") and dataset.source.endswith(".jsonl"))
