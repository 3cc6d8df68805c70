"""Text SFT of checkpoints that read images, through the real trainer, and the result in the plain libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.trainers import warm
from tests.trainers.families_with_eyes import build
from trainers.merging.merge import merge_run
from trainers.plan import plan_from_dict, save_plan
from trainers.training.run import main

pytestmark = pytest.mark.slow

RUNS = (
    ("gemma3", "lora"),
    ("gemma4", "qlora"),
    ("internvl", "full"),
    ("llama4", "lora"),
    ("mistral3", "qlora"),
    ("qwen2_5_vl", "lora"),
    ("qwen3_5", "lora"),
    ("qwen3_vl_moe", "lora"),
)

EYES = ("vision", "visual", "projector", "connector")


def weights(folder: Path) -> dict[str, Any]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("family", ["qwen2_5_vl"])
def test_a_token_counts_the_same_in_whatever_micro_batch(
    family: str, tmp_path: Path, tiny_model: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    base = build(family, tiny_model, tmp_path / "base")
    curves = []
    for rows, times in ((4, 1), (1, 4)):
        plan = make_plan("lora", model={"name": str(base)}, micro_batch_size=rows, gradient_accumulation_steps=times)
        plan |= {"max_steps": 3, "save_steps": 3, "eval_steps": 3, "logging_steps": 1, "learning_rate": 1e-2}
        folder = tmp_path / f"by-{rows}"
        save_plan(plan_from_dict(plan), tmp_path / "plan.toml")
        assert main([str(tmp_path / "plan.toml"), "--run-dir", str(folder)]) == 0
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        curves.append([line["loss"] for line in lines if "loss" in line])
    assert len(curves[0]) == 3
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


@pytest.mark.parametrize(("family", "method"), RUNS)
def test_text_trains_the_language_model_alone_and_the_original_class_loads_the_result(
    family: str, method: str, tmp_path: Path, tiny_model: Path, make_plan: Callable[..., dict[str, Any]]
) -> None:
    base, run_dir = build(family, tiny_model, tmp_path / "base"), tmp_path / "run"
    plan = make_plan(
        method,
        model={"name": str(base)},
        max_steps=4,
        save_steps=4,
        eval_steps=4,
        learning_rate=2e-2 if method != "full" else 1e-3,
        gradient_checkpointing=family != "gemma3",
    )
    save_plan(plan_from_dict(plan), tmp_path / "plan.toml")
    assert main([str(tmp_path / "plan.toml"), "--run-dir", str(run_dir)]) == 0
    record = json.loads((run_dir / "run.json").read_text())
    assert record["losses"]["last"] < record["losses"]["first"]
    result, merged = run_dir / "result", ""
    assert (result / "processor_config.json").is_file(), "a server needs it to read images"
    if method != "full":
        done = merge_run(run_dir)
        assert done.how == "weight by weight"
        merged = str(done.folder)
    looked = warm.run("tests.trainers.loaded_plainly", str(base), str(result), merged)
    assert looked.returncode == 0, looked.stderr
    seen = json.loads(looked.stdout.splitlines()[-1])
    assert seen["moved"] > 1e-3
    before, after = weights(base), weights(Path(merged or result))
    assert before.keys() == after.keys(), "the checkpoint keeps its own names"
    eyes = [name for name in before if any(word in name for word in EYES)]
    assert eyes
    assert all(before[name].equal(after[name].to(before[name].dtype)) for name in eyes), "no tower was touched"
    if method != "full":
        assert seen["gap"] < (1e-4 if method == "lora" else 0.5)  # a 4-bit base was rounded, the plain one was not
        assert seen["adapted"]
        assert not [name for name in seen["adapted"] if any(word in name for word in EYES)]
        assert not [name for name in seen["adapted"] if "router" in name or ".mlp.gate." in name]
        assert not seen["idle"], "every adapter has learnt something"
