"""What a checkpoint that reads images brings beside its tokenizer: its settings for pictures, and often its template.

Training on text needs no processor. Whoever serves the result does, so its files go where the tokenizer goes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from trainers.plan import TrainingPlan

FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")


def copy_processor(plan: TrainingPlan, folder: Path) -> list[str]:
    """Put the base's processor files into `folder`, as they are; returns the names of those that it has."""
    found = {name: path for name in FILES if (path := _file(plan, name)) is not None}
    for name, path in found.items():
        shutil.copyfile(path, folder / name)
    return list(found)


def template_of_processor(plan: TrainingPlan) -> str | None:
    """The chat template that lies beside the processor alone (chat_template.json); None where there is none."""
    path = _file(plan, "chat_template.json")
    held = json.loads(path.read_bytes()) if path is not None else None
    template = held.get("chat_template") if isinstance(held, dict) else None
    return template if isinstance(template, str) else None


def _file(plan: TrainingPlan, name: str) -> Path | None:
    from transformers.utils import cached_file

    if plan.model.gguf_file:
        return None
    found = cached_file(
        plan.model.name, name, revision=plan.model.revision, _raise_exceptions_for_missing_entries=False
    )
    return Path(found) if found else None
