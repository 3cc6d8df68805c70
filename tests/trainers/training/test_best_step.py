"""Runs that learn by heart deliver the step at which they knew most of what they had not seen."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.trainers import warm
from tests.trainers.conftest import conversations
from tests.trainers.plans import lora_plan
from trainers import exit_codes
from trainers.plan import TrainingPlan, plan_from_dict, save_plan
from trainers.run_folder.checkpoint import scan
from trainers.run_folder.metrics import read_metrics
from trainers.supervision.supervise import Supervisor
from trainers.training import run
from trainers.training.best_step import BestStep

pytestmark = pytest.mark.usefixtures("warm_children")
LEARNS_BY_HEART: dict[str, float] = {"full": 1e-3, "lora": 5e-3, "qlora": 5e-3, "prefix": 5e-1, "adapter": 5e-3}
"""A learning rate for each method at which it soon knows one answer, and no other."""


@pytest.fixture
def one_sided(tmp_path: Path) -> tuple[Path, Path]:
    """Sixteen questions that all have the same answer, and real conversations to judge what is left beside it."""
    chats = conversations()[:16]
    parrot = [[chat[0], {"role": "assistant", "content": "no no no no no no no no"}] for chat in chats]
    for name, rows in (("train", parrot), ("held", chats)):
        lines = (json.dumps({"messages": messages}) + "\n" for messages in rows)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path / "train.jsonl", tmp_path / "held.jsonl"


@pytest.fixture(scope="module")
def loud_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with ten times larger logits: as it is it can hardly prefer one token to another."""
    folder = tmp_path_factory.mktemp("loud") / "model"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 10
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def too_long(
    make_plan: Callable[..., dict[str, Any]], one_sided: tuple[Path, Path], loud_model: Path
) -> Callable[..., TrainingPlan]:
    """A plan with many times the steps that its few examples bear."""

    def build(method: str = "lora", **fields: Any) -> TrainingPlan:
        data = {"source": str(one_sided[0]), "eval_source": str(one_sided[1])}
        model = {"name": str(loud_model)}
        shape = {"max_steps": 24, "save_steps": 6, "eval_steps": 4, "learning_rate": LEARNS_BY_HEART[method]}
        return plan_from_dict(make_plan(method, **{"model": model, "dataset": data, **shape, **fields}))

    return build


def record(run_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_dir / "run.json").read_bytes())
    return found


def evaluated(run_dir: Path) -> dict[int, float]:
    return {line["step"]: line["eval_loss"] for line in read_metrics(run_dir) if "eval_loss" in line}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def is_of_step(run_dir: Path, step: int) -> bool:
    """Whether the result holds the weights of that step's checkpoint, to the last bit."""
    made, kept = tensors(run_dir / "result"), tensors(run_dir / "checkpoints" / f"checkpoint-{step}")
    return made.keys() == kept.keys() and all(torch.equal(made[name], kept[name]) for name in made)


def delivers_its_best(run_dir: Path) -> bool:
    curve, delivered = evaluated(run_dir), record(run_dir)["delivered"]
    best = min(curve, key=lambda step: (curve[step], step))
    assert best < max(curve), f"the run was not over-trained: {curve}"
    return delivered["step"] == best and delivered["value"] == curve[best] and is_of_step(run_dir, best)


def train(plan: TrainingPlan, run_dir: Path) -> None:
    save_plan(plan, run_dir / "plan.toml")
    assert run.main([str(run_dir / "plan.toml"), "--run-dir", str(run_dir)]) == exit_codes.DONE


@pytest.mark.slow
@pytest.mark.parametrize("method", LEARNS_BY_HEART)
def test_an_over_trained_run_delivers_its_best_step_and_says_so(
    method: str, too_long: Callable[..., TrainingPlan], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(too_long(method), tmp_path)
    assert delivers_its_best(tmp_path)
    delivered = record(tmp_path)["delivered"]
    said = f"step {delivered['step']} is delivered: its evaluation loss is the lowest"
    assert said in capfd.readouterr().err
    for file in ("result/README.md", "report.html"):
        assert f"{delivered['step']}: its evaluation loss is the lowest" in (tmp_path / file).read_text("utf-8")
    assert record(tmp_path)["reload"]["passed"]
    kept = {found.step for found in scan(tmp_path)}
    assert {delivered["step"], 24} <= kept and len(kept) <= 3, "two are kept, and the best one beside them"


@pytest.mark.slow
def test_the_last_step_is_delivered_where_the_plan_says_so(
    too_long: Callable[..., TrainingPlan], tmp_path: Path
) -> None:
    train(too_long(load_best_model_at_end=False), tmp_path)
    assert record(tmp_path)["delivered"]["step"] == 24
    assert is_of_step(tmp_path, 24)


@pytest.mark.slow
def test_patience_ends_the_run_and_a_resume_of_it_makes_no_step(
    too_long: Callable[..., TrainingPlan], tmp_path: Path
) -> None:
    plan = too_long(early_stopping_patience=3)
    assert Supervisor(tmp_path).carry_out(plan) == exit_codes.DONE
    assert delivers_its_best(tmp_path)
    delivered, curve = record(tmp_path)["delivered"], evaluated(tmp_path)
    assert delivered["stopped_early"]
    assert delivered["last_step"] == delivered["step"] + 3 * plan.eval_steps == max(curve)

    # as after a kill while the result was being written
    shutil.rmtree(tmp_path / "result")
    (tmp_path / "run.json").write_text(json.dumps(record(tmp_path) | {"exit_state": "running", "exit_code": None}))
    assert Supervisor(tmp_path).carry_out(plan) == exit_codes.DONE
    assert evaluated(tmp_path) == curve
    assert record(tmp_path)["delivered"] == delivered
    assert delivers_its_best(tmp_path)


@pytest.mark.slow
def test_a_run_killed_after_its_best_step_delivers_that_step_also_from_where_it_was_moved_to(
    too_long: Callable[..., TrainingPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = too_long(lora_dropout=0.1)
    undisturbed, first, moved = tmp_path / "undisturbed", tmp_path / "first", tmp_path / "moved"
    assert Supervisor(undisturbed).carry_out(plan) == exit_codes.DONE
    monkeypatch.setenv("FAULT", json.dumps({"kill_at": 22}))
    assert Supervisor(first, module="tests.trainers.faulty_run").carry_out(plan) != exit_codes.DONE
    best = record(undisturbed)["delivered"]["step"]
    assert best < 18, "the kill was before the best step: the test proves nothing"
    first.rename(moved)
    assert Supervisor(moved).carry_out(plan) == exit_codes.DONE
    assert record(moved)["delivered"] == record(undisturbed)["delivered"]
    assert delivers_its_best(moved)
    assert {n: t.tolist() for n, t in tensors(moved / "result").items()} == {
        n: t.tolist() for n, t in tensors(undisturbed / "result").items()
    }


@pytest.mark.slow
def test_a_damaged_best_checkpoint_is_not_delivered_and_is_named(
    too_long: Callable[..., TrainingPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = too_long()
    monkeypatch.setenv("FAULT", json.dumps({"kill_at": 22}))
    assert Supervisor(tmp_path, module="tests.trainers.faulty_run").carry_out(plan) != exit_codes.DONE
    best = min(evaluated(tmp_path), key=lambda step: evaluated(tmp_path)[step])
    weights = tmp_path / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1000:] = bytes(1000)
    weights.write_bytes(content)
    assert Supervisor(tmp_path).carry_out(plan) == exit_codes.DONE
    delivered = record(tmp_path)["delivered"]
    assert delivered["step"] != best
    assert re.search(rf"the checkpoint of step {best}, where it was [\d.]+, is damaged or gone", delivered["reason"])
    assert is_of_step(tmp_path, delivered["step"])


SHARDED = [
    ("lora", "ddp", "trainers.training.run"),
    ("lora", "fsdp", "tests.trainers.fsdp_on_cpu"),
    ("full", "fsdp", "tests.trainers.fsdp_on_cpu"),
    ("adapter", "fsdp", "tests.trainers.fsdp_on_cpu"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "sharding", "module"), SHARDED if os.environ.get("SOAK") else SHARDED[:2])
def test_over_several_processes_the_best_step_is_delivered_too(
    method: str, sharding: str, module: str, too_long: Callable[..., TrainingPlan], tmp_path: Path
) -> None:
    plan = too_long(method, sharding=sharding, num_gpus=2, micro_batch_size=2)
    save_plan(plan, tmp_path / "plan.toml")
    done = warm.run(module, str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path), processes=2)
    assert done.returncode == exit_codes.DONE, done.stderr[-3000:]
    curve, delivered = evaluated(tmp_path), record(tmp_path)["delivered"]
    assert delivered["step"] == min(curve, key=lambda step: (curve[step], step)) < max(curve)
    made = tensors(tmp_path / "result")
    kept = tensors(tmp_path / "checkpoints" / f"checkpoint-{delivered['step']}")
    if kept:  # FSDP writes a file of another form for a whole model
        assert all(torch.equal(made[name], kept[name]) for name in made)


def test_a_better_evaluation_asks_for_a_save_and_a_worse_one_does_not(tmp_path: Path) -> None:
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    state, callback = TrainerState(), BestStep(lora_plan(early_stopping_patience=2))
    asked = []
    for step, loss in ((4, 2.0), (8, 1.0), (12, 1.5), (16, 1.0)):
        state.global_step = step
        state.log_history.append({"step": step, "eval_loss": loss})
        control = callback.on_evaluate(args, state, TrainerControl())
        asked.append((control.should_save, control.should_training_stop))
    assert asked == [(True, False), (True, False), (False, False), (True, True)]
    assert callback.on_train_begin(args, state, TrainerControl()).should_training_stop
