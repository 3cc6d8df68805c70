"""What must not change between the start of a run and its resume: the plan's meaning and the data's bytes.

Batch shape, checkpointing, kernels and devices may change (the supervisor itself halves a batch that does not fit);
what is learnt from what may not, or the curve after the resume belongs to neither run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import PlanRefused
from trainers.plan import TrainingPlan, plan_to_dict, write_atomically

FINGERPRINT_FILE = "fingerprint.json"

FREE_TO_CHANGE = frozenset(
    {
        "schema", "output_dir", "micro_batch_size", "gradient_accumulation_steps", "eval_micro_batch_size",
        "gradient_checkpointing", "activation_offload", "attention", "loss_kernel", "accelerator", "num_gpus",
        "num_nodes", "device_uuids", "sharding", "cpu_offload", "save_steps", "save_total_limit", "eval_steps",
        "logging_steps", "dataloader_workers", "report_to", "delivery", "predicted_peak_bytes", "set_by",
    }
)  # fmt: skip
"""Plan fields that a resume may change: they say how fast and where, not what is learnt."""

_DATASET_LOCATION = frozenset({"source", "eval_source", "num_examples", "sha256"})


def content_sha256(path: Path) -> str | None:
    """Digest of a file's bytes, or of the names and bytes of all files in a folder; None for a hub id."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("cache-")):
        digest.update(f"{file.relative_to(path).as_posix()} {content_sha256(file)}\n".encode())
    return digest.hexdigest()


def plan_fingerprint(plan: TrainingPlan) -> dict[str, Any]:
    """The part of a plan that a resume has to keep, as flat plain data, with digests of local data files.

    A moved file or folder with the same bytes is the same dataset; a hub id stands for itself.
    """
    raw = plan_to_dict(plan)
    kept = {name: value for name, value in raw.items() if name not in FREE_TO_CHANGE}
    kept["global_batch_size"] = plan.global_batch_size
    if plan.dataset is not None:
        kept["dataset"] = {key: value for key, value in raw["dataset"].items() if key not in _DATASET_LOCATION}
        kept["dataset"]["content"] = content_sha256(Path(plan.dataset.source).expanduser()) or plan.dataset.source
        if plan.dataset.eval_source:
            held = plan.dataset.eval_source
            kept["dataset"]["eval_content"] = content_sha256(Path(held).expanduser()) or held
    return _flat(kept)


def plan_difference(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Each field of two fingerprints that differs, as `name: before -> now`."""
    return [
        f"{name}: {before.get(name, 'not set')} -> {now.get(name, 'not set')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def hold_to_start(plan: TrainingPlan, run_dir: Path) -> None:
    """Record the fingerprint at the first start; at a later one raise PlanRefused with the difference."""
    path = run_dir / FINGERPRINT_FILE
    now = json.loads(json.dumps(plan_fingerprint(plan)))
    if not path.exists():
        write_atomically(path, msgspec.json.format(msgspec.json.encode(now)))
        return
    try:
        before = json.loads(path.read_bytes())
    except ValueError as error:
        raise PlanRefused(f"{path} cannot be read: {error}", fix="start into a new --run-dir") from error
    different = plan_difference(before, now)
    if different:
        raise PlanRefused(
            f"this run was started with another plan or dataset: {'; '.join(different)}",
            why="going on would give a model that belongs to neither",
            fix=f"put the earlier values back (they are in {path}), or start into a new --run-dir",
        )


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
