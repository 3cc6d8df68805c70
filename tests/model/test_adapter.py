"""An adapter named as the model: its base is found, and what it holds is known to the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.base.errors import InputError
from advisor.model import resolve_model
from tests.trainers.plans import lora_plan
from trainers.plan import ModelRef, save_plan

HELD: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "q_proj"],
    "base_model_name_or_path": "Qwen/Qwen3-8B",
}


def written(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(HELD | changes))
    return folder


def test_the_base_is_the_model_and_the_adapter_stands_beside_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "result")
    spec, base = resolve_model(str(folder)), resolve_model("Qwen/Qwen3-8B")
    assert spec.adapter is not None
    assert (spec.adapter.path, spec.adapter.rank, spec.adapter.alpha) == (str(folder), 8, 16)
    assert spec.adapter.targets == ("q_proj", "up_proj")
    assert msgspec.structs.replace(spec, adapter=None, notes=base.notes) == base


def test_of_a_run_the_plan_names_the_base(tmp_path: Path) -> None:
    save_plan(lora_plan(model=ModelRef(name="Qwen/Qwen3-4B")), tmp_path / "run" / "plan.toml")
    spec = resolve_model(str(written(tmp_path / "run" / "result", base_model_name_or_path="my-base")))
    assert spec.path == "Qwen/Qwen3-4B"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "no LoRA adapter"),
        ({"target_modules": []}, "no LoRA adapter"),
        ({"r": 0}, ">= 1"),
        ({"r": "eight"}, "Expected `int`"),
        ({"target_modules": "all-linear"}, "Expected `array`"),
        ({"base_model_name_or_path": None}, "names no base model"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_model(str(written(tmp_path / "result", **changes)))
    (problem,) = caught.value.problems
    assert why in problem.why
    assert problem.fix.startswith("Give the base model")


def test_an_adapter_on_an_adapter_is_refused(tmp_path: Path) -> None:
    first = written(tmp_path / "first")
    with pytest.raises(InputError, match="no model is called"):
        resolve_model(str(written(tmp_path / "second", base_model_name_or_path=str(first))))
