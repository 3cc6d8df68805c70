"""A LoRA adapter instead of a model: what is gone on with, and the base that it stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.folder import read_json_object
from advisor.model.spec import TrainedAdapter
from trainers.plan import PlanError, load_plan
from trainers.run_folder import layout

CONFIG = "adapter_config.json"
_Rank = Annotated[int, Meta(ge=1, le=65_536)]


class _Config(msgspec.Struct, frozen=True):
    """What is read of adapter_config.json."""

    peft_type: str
    r: _Rank
    lora_alpha: _Rank
    target_modules: list[str]
    base_model_name_or_path: str | None = None


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def read_adapter(folder: Path) -> TrainedAdapter:
    """The adapter in a folder. Of a run's result the base is the one that the run's plan names, for what is handed
    over names no path. Raises InputError for one that is broken, no plain LoRA, or says no base."""
    path = folder / CONFIG
    raw = read_json_object(path)
    try:
        held = msgspec.convert(raw, _Config)
    except msgspec.ValidationError as error:
        raise _not_gone_on_with(path, str(error), raw.get("base_model_name_or_path")) from error
    if held.peft_type != "LORA" or not held.target_modules:
        raise _not_gone_on_with(path, tr("it is no LoRA adapter of linear layers"), held.base_model_name_or_path)
    base = _base_of_run(folder) or held.base_model_name_or_path
    if not base:
        raise _not_gone_on_with(path, tr("it names no base model"))
    return TrainedAdapter(
        path=str(folder.absolute()),
        base=base,
        rank=held.r,
        alpha=held.lora_alpha,
        targets=tuple(sorted({name.rpartition(".")[2] for name in held.target_modules})),
    )


def _base_of_run(folder: Path) -> str | None:
    try:
        return load_plan(folder.parent / layout.PLAN).model.name
    except PlanError:
        return None


def _not_gone_on_with(path: Path, why: str, base: Any = None) -> InputError:
    return InputError(
        Problem(
            what=tr("{path} is no adapter that can be gone on with", path=path),
            why=why,
            fix=(
                tr("Give the base model: --model {base}", base=base)
                if base
                else tr("Give the base model, which begins a new adapter.")
            ),
            where="--model",
        )
    )
