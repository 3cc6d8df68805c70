"""What must not change between the start of a run and its resume: the plan's meaning, the data's bytes, the model's.

Batch shape, checkpointing, kernels and devices may change (the supervisor itself halves a batch that does not fit);
what is learnt from what may not, or the curve after the resume belongs to neither run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import ExamplesError, PlanRefused
from trainers.examples.sets import sets_of, sha256_of
from trainers.examples.source import is_hub_id
from trainers.foreign.files import RECORD_BYTES, read_small_file
from trainers.language import tr
from trainers.paths import absolute
from trainers.plan import DatasetRef, TrainingPlan, plan_to_dict
from trainers.plan_fields import fields_about
from trainers.run_folder import layout
from trainers.writing import write_atomically

SHA256_DIGITS = 64
MODEL_FILES = (
    *("*.safetensors", "*.bin", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"),
)
"""What a training takes from a folder. `adapter_config.json` is not among them: a delivery renames the base in it."""
READ_WHOLE_BYTES = 1 << 20
SAMPLES, SAMPLE_BYTES = 64, 1 << 14
_PLACES = {"model.name": "model.content", "start_adapter": "start_adapter_content"}
"""Where a folder lies -> what is in it."""
_DATASET_LOCATION = frozenset({"source", "eval_source", "files", "eval_files", "num_examples", "sha256"})


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


def model_sha256(folder: Path, gguf_file: str | None = None) -> str | None:
    """What tells a folder of a model or adapter from any other; None for a hub id, or a folder without weights.

    Digest of the names and sizes of what a training loads, of small files whole and of 1 MiB spread over each large
    one: tens of GB of weights would take a start half a minute, and no two trainings agree in all these places.
    """
    names = [gguf_file] if gguf_file else MODEL_FILES
    files = (
        sorted({file for name in names for file in folder.glob(name) if file.is_file()}) if folder.is_dir() else []
    )
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as content:
            if size <= READ_WHOLE_BYTES:
                digest.update(content.read())
                continue
            for number in range(SAMPLES):
                content.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
                digest.update(content.read(SAMPLE_BYTES))
    return digest.hexdigest()


def plan_fingerprint(plan: TrainingPlan) -> dict[str, Any]:
    """The part of a plan that a resume has to keep, as flat plain data, with digests of local files.

    A moved file or folder with the same bytes is the same dataset or model; a hub id stands for itself.
    """
    raw = plan_to_dict(plan)
    about = fields_about(TrainingPlan)
    kept = {name: value for name, value in raw.items() if about[name].resume == "kept"}
    kept["global_batch_size"] = plan.global_batch_size
    if content := model_sha256(Path(plan.model.name).expanduser(), plan.model.gguf_file):
        kept["model"] = {**kept["model"], "content": content}
    if plan.start_adapter and (content := model_sha256(Path(plan.start_adapter).expanduser())):
        kept["start_adapter_content"] = content
    if plan.dataset is not None:
        kept["dataset"] = {key: value for key, value in raw["dataset"].items() if key not in _DATASET_LOCATION}
        kept["dataset"]["content"] = _content(plan.dataset)
        if plan.dataset.eval_files:
            kept["dataset"]["eval_content"] = " ".join(file.sha256 for file in plan.dataset.eval_files)
        elif plan.dataset.eval_source:
            held = plan.dataset.eval_source
            kept["dataset"]["eval_content"] = content_sha256(Path(held).expanduser()) or held
    return _flat(kept)


def _content(dataset: DatasetRef) -> str:
    """Digest of what a dataset's source names here; the name itself for one of the hub."""
    whole = content_sha256(Path(dataset.source).expanduser())
    if whole or is_hub_id(dataset.source):
        return whole or dataset.source
    try:
        return " ".join(sha256_of(file) for file in sets_of(dataset).train.files)
    except ExamplesError:
        return dataset.source


def plan_difference(before: dict[str, Any], now: dict[str, Any], places: dict[str, str]) -> list[str]:
    """Each field of two fingerprints that differs, as `name: before -> now`; of two digests the place that has them.

    `places`: name of a field with a digest -> where that file or folder lies.
    """
    different = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return [
        tr("{place} has another content", place=places[name])
        if name in places and all(len(str(one.get(name))) == SHA256_DIGITS for one in (before, now))
        else f"{name}: {before.get(name, 'not set')} -> {now.get(name, 'not set')}"
        for name in different
    ]


def hold_to_start(plan: TrainingPlan, run_dir: Path) -> None:
    """Record the fingerprint at the first start; at a later one raise PlanRefused with the difference."""
    path = run_dir / layout.FINGERPRINT
    now = _with_absolute_paths(json.loads(json.dumps(plan_fingerprint(plan))))
    if not path.exists():
        write_atomically(path, msgspec.json.format(msgspec.json.encode(now)))
        return
    try:
        before = json.loads(read_small_file(path, RECORD_BYTES))
        if not isinstance(before, dict):
            raise ValueError("it is no table")
    except (ValueError, OSError, RecursionError) as error:
        raise PlanRefused(
            tr("{path} cannot be read: {error}", path=path, error=error), fix=tr("start into a new --run-dir")
        ) from error
    before = _with_absolute_paths(before)
    _by_content(before, now)
    places = {"model.content": plan.model.name, "start_adapter_content": plan.start_adapter or ""}
    if plan.dataset:
        places["dataset.content"] = plan.dataset.source
    different = plan_difference(before, now, places)
    if different:
        raise PlanRefused(
            tr("this run was started with another plan or dataset: {different}", different="; ".join(different)),
            why=tr("going on would give a model that belongs to neither"),
            fix=tr("put the earlier values back (they are in {path}), or start into a new --run-dir", path=path),
        )


def _by_content(before: dict[str, Any], now: dict[str, Any]) -> None:
    """A folder that was moved is the same one; a record of 0.1 knows it by its place alone."""
    for place, content in _PLACES.items():
        if before.get(content) is None:
            now.pop(content, None)
        elif now.get(content) is not None:
            before.pop(place, None)
            now.pop(place, None)


def _with_absolute_paths(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """A path counts by where it leads: 0.1 kept it as it was typed, and a job's plan has it from its folder."""
    paths = {name: fingerprint.get(name) for name in ("model.name", "start_adapter")}
    return fingerprint | {name: absolute(path) for name, path in paths.items() if isinstance(path, str)}


def started_with(run_dir: Path, field: str) -> str | None:
    """A digest of what the run in this folder was started with, such as `dataset.content`; None if not known."""
    try:
        content = json.loads(read_small_file(run_dir / layout.FINGERPRINT, RECORD_BYTES)).get(field)
    except (ValueError, OSError, RecursionError, AttributeError):
        return None
    return content if isinstance(content, str) else None


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
