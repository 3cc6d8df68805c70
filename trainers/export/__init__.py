"""The same plan for other tools and for clusters: `export(plan, "axolotl")`, `write(plan, "slurm", folder)`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trainers.errors import PlanRefused
from trainers.examples.mixture import pieces_of
from trainers.language import tr
from trainers.method import METHODS
from trainers.plan import DatasetRef, TrainingPlan
from trainers.writing import write_atomically

if TYPE_CHECKING:
    from trainers.export.pictures import Form
    from trainers.export.table import Export, Target

TARGETS: dict[str, str] = {
    "trl": "trainers.export.trl",
    "axolotl": "trainers.export.axolotl",
    "llamafactory": "trainers.export.llama_factory",
    "ms-swift": "trainers.export.ms_swift",
    "unsloth": "trainers.export.unsloth",
    "torchtune": "trainers.export.torchtune",
    "ssh": "trainers.export.ssh",
    "docker": "trainers.export.docker",
    "slurm": "trainers.export.slurm",
    "kubernetes": "trainers.export.kubernetes",
    "skypilot": "trainers.export.skypilot",
    "ray": "trainers.export.ray",
    "modal": "trainers.export.modal",
    "notebook": "trainers.export.notebook",
}
"""Name -> the module: its `export(plan)` says the plan in that tool's words, its TARGET what the tool can do."""
DATA_FILE, EVAL_FILE = "train.jsonl", "evaluation.jsonl"


def describe(target: str) -> Target:
    """What the exporter of this name says about itself. Raises PlanRefused when there is none."""
    if target not in TARGETS:
        raise PlanRefused(
            tr("{target!r} is not an export target", target=target),
            fix=tr("choose one of {targets}", targets=", ".join(TARGETS)),
        )
    about: Target = import_module(TARGETS[target]).TARGET
    return about


def export(plan: TrainingPlan, target: str) -> Export:
    """The plan for `target`, as files and a command. Raises PlanRefused for an unknown target or a hopeless plan."""
    about = describe(target)
    if plan.method not in about.methods:
        raise PlanRefused(
            tr("{title} cannot be told to do {method}", title=about.title, method=METHODS[plan.method].title),
            fix=tr("launch it here, or plan again with --wish-method {methods}", methods=about.methods[0]),
        )
    # another tool is started from wherever its files are; a job's paths hold inside its own folder
    made: Export = import_module(TARGETS[target]).export(plan.anchored() if about.trains_by_itself else plan)
    return made


def write(plan: TrainingPlan, target: str, folder: Path) -> Export:
    """Write the files of `export` into `folder`, with what they need: a job takes data, wheel and versions along;
    rows that another tool would read differently become `messages` first.

    Raises PlanRefused as `export` does, and when the dataset cannot be read.
    """
    about = describe(target)
    folder.mkdir(parents=True, exist_ok=True)
    if about.is_job:
        from trainers.export.job import pack

        export(plan, target)  # what is refused is refused before anything is copied
        plan = pack(plan, folder)
    elif plan.dataset is not None:
        pictures = about.pictures if plan.reads_images else None
        plan = msgspec.structs.replace(plan, dataset=_converted(plan.dataset, folder, pictures))
    made = export(plan, target)
    for name, content in made.files.items():
        write_atomically(folder / name, content.encode())
    if about.finish:
        about.finish(plan, folder)
    return made


def _converted(dataset: DatasetRef, folder: Path, pictures: Form | None) -> DatasetRef:
    """The dataset with what another tool would read differently as JSON lines in `folder`."""
    from trainers.export.data import as_messages

    if _needs_conversion(dataset.source, dataset.format, pictures):
        count = as_messages(dataset, folder / DATA_FILE, pictures)
        dataset = DatasetRef(
            source=str(folder / DATA_FILE),
            format="messages",
            eval_source=dataset.eval_source,
            eval_fraction=dataset.eval_fraction,
            eval_files=dataset.eval_files,
            num_examples=count,
        )
    held = dataset.eval_source
    if held and _needs_conversion(held, None, pictures):
        as_messages(DatasetRef(source=held, files=dataset.eval_files), folder / EVAL_FILE, pictures)
        dataset = msgspec.structs.replace(dataset, eval_source=str(folder / EVAL_FILE), eval_files=())
    return dataset


def _needs_conversion(source: str, layout: str | None, pictures: Form | None) -> bool:
    """Only `messages` in JSON lines mean the same to every tool, pictures to none; a hub id is left to the tool."""
    local = Path(source).expanduser().exists()
    as_it_is = layout in ("messages", "text") and source.endswith(".jsonl") and not pictures
    return bool(pieces_of(source)) or (local and not as_it_is)
