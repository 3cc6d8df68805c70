"""Two processes for real, with gloo on this CPU: the loss curve of one process, and a result that loads anywhere."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainers import warm
from tests.trainers.families_that_see import build, write_colours
from trainers import exit_codes
from trainers.plan import plan_from_dict, save_plan
from trainers.run_folder.metrics import read_metrics
from trainers.training import evaluate, run

pytestmark = pytest.mark.slow
TWO = {"num_gpus": 2, "micro_batch_size": 2}
FSDP = "tests.trainers.fsdp_on_cpu"


def losses(run_dir: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run_dir) if "loss" in line]


def two_processes(run_dir: Path, plan: dict[str, Any], module: str = "trainers.training.run") -> dict[str, Any]:
    save_plan(plan_from_dict(plan), run_dir / "plan.toml")
    done = warm.run(module, str(run_dir / "plan.toml"), "--run-dir", str(run_dir), processes=2)
    assert done.returncode == exit_codes.DONE, done.stderr[-3000:]
    record = json.loads((run_dir / "run.json").read_bytes())
    assert record["world_size"] == 2
    return record


def as_if_killed(run_dir: Path, at_step: int) -> None:
    """What a kill right after the checkpoint of this step leaves: a finished run would not be gone on with."""
    for checkpoint in (run_dir / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.rpartition("-")[2]) > at_step:
            shutil.rmtree(checkpoint)
    shutil.rmtree(run_dir / "result")
    record = json.loads((run_dir / "run.json").read_bytes())
    (run_dir / "run.json").write_text(json.dumps(record | {"exit_state": "running", "exit_code": None}))


@pytest.fixture
def alone(make_plan: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., list[float]]:
    """The losses of the same plan on one process."""

    def train(method: str, **fields: Any) -> list[float]:
        run_dir = tmp_path / "alone"
        save_plan(plan_from_dict(make_plan(method, **fields)), run_dir / "plan.toml")
        assert run.main([str(run_dir / "plan.toml"), "--run-dir", str(run_dir)]) == exit_codes.DONE
        return losses(run_dir)

    return train


def test_ddp_on_a_quantised_base_has_the_curve_of_one_process(
    alone: Callable[..., list[float]], make_plan: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    record = two_processes(tmp_path / "two", make_plan("qlora", sharding="ddp", **TWO))
    # How products with packed weights are rounded depends on the number of rows.
    assert losses(tmp_path / "two") == pytest.approx(alone("qlora"), abs=6e-3)
    assert record["reload"]["passed"]
    assert record["eval_loss_after"] < record["eval_loss_before"]


def test_an_adapter_in_fsdp_shards_has_the_curve_of_one_process_resumes_and_its_result_loads_on_one(
    alone: Callable[..., list[float]], make_plan: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """With activation checkpointing, whose wrappers hide an adapter's tensors from peft's own saving."""
    run_dir = tmp_path / "two"
    plan = make_plan("lora", sharding="fsdp", gradient_checkpointing=True, **TWO)
    record = two_processes(run_dir, plan, module=FSDP)
    undisturbed = losses(run_dir)
    assert undisturbed == pytest.approx(alone("lora"), abs=1e-4)
    assert record["reload"]["saved_numbers"] == record["parameters"]["trainable"]

    scores = evaluate.evaluate_run(run_dir)
    assert scores["eval_loss_after"] < scores["eval_loss_before"]

    as_if_killed(run_dir, at_step=4)
    (run_dir / "metrics.jsonl").write_text("")
    two_processes(run_dir, plan, module=FSDP)
    assert losses(run_dir) == pytest.approx(undisturbed[4:], abs=1e-6)


def trained(run_dir: Path, plan: dict[str, Any]) -> list[float]:
    """The losses of a plan, on as many processes as it says."""
    save_plan(plan_from_dict(plan), run_dir / "plan.toml")
    done = warm.run(
        FSDP if plan.get("sharding") == "fsdp" else "trainers.training.run",
        *(str(run_dir / "plan.toml"), "--run-dir", str(run_dir)),
        processes=plan.get("num_gpus", 1),
    )
    assert done.returncode == exit_codes.DONE, done.stderr[-3000:]
    return losses(run_dir)


BOTH = [("lora", "ddp", 1e-5), ("qlora", "ddp", 1e-4), ("lora", "fsdp", 1e-5), ("full", "fsdp", 1e-4)]


@pytest.mark.parametrize(("method", "sharding", "within"), BOTH if os.environ.get("SOAK") else BOTH[-1:])
def test_a_run_goes_on_over_more_and_over_fewer_processes_with_the_curve_of_one(
    make_plan: Callable[..., dict[str, Any]], chats: Path, tmp_path: Path, method: str, sharding: str, within: float
) -> None:
    """Over two epochs of 22 rows, whose last batch has two rows for two processes that take two each."""
    few = tmp_path / "few.jsonl"
    few.write_text("".join(chats.read_text("utf-8").splitlines(keepends=True)[:24]), "utf-8")
    fields = {"dataset": {"source": str(few), "eval_fraction": 0.1}, "max_steps": 8, "eval_steps": 100}
    alone = make_plan(method, **fields)
    two = alone | {"sharding": sharding, **TWO}
    undisturbed = trained(tmp_path / "alone", alone)
    assert trained(tmp_path / "two", two) == pytest.approx(undisturbed, abs=within)
    for before, after in (("alone", two), ("two", alone)):
        as_if_killed(tmp_path / before, at_step=4)
        (tmp_path / before / "metrics.jsonl").write_text("")
        assert trained(tmp_path / before, after) == pytest.approx(undisturbed[4:], abs=within)


def test_the_preflight_proves_that_split_4_bit_weights_come_back_bit_for_bit(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    plan = make_plan("qlora", sharding="fsdp", gradient_checkpointing=True, **IN_BF16, **TWO)
    save_plan(plan_from_dict(plan), tmp_path / "plan.toml")
    done = warm.run(FSDP, str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path), "--preflight", "only", processes=2)
    assert done.returncode == exit_codes.DONE, done.stderr[-3000:]
    measured = json.loads((tmp_path / "preflight.json").read_bytes())["measured"]
    assert measured["packed_weights_equal"] == 7 * 2


IN_BF16 = {"compute_dtype": "bf16", "weights_dtype": "bf16"}
OTHERS: list[tuple[str, str, dict[str, Any], float]] = [
    # Packed as bf16, so that the 4-bit weights are sharded; rounding in bf16 is what the two differ by.
    ("qlora", "fsdp", IN_BF16, 2e-2),
    ("full", "ddp", {}, 1e-4),
    ("adapter", "fsdp", {}, 1e-4),
    ("prefix", "ddp", {}, 1e-4),
]


@pytest.mark.parametrize(("method", "sharding", "fields", "within"), OTHERS if os.environ.get("SOAK") else OTHERS[:1])
def test_other_methods_too_have_the_curve_of_one_process(
    alone: Callable[..., list[float]],
    make_plan: Callable[..., dict[str, Any]],
    tmp_path: Path,
    method: str,
    sharding: str,
    fields: dict[str, Any],
    within: float,
) -> None:
    module = FSDP if sharding == "fsdp" else "trainers.training.run"
    record = two_processes(tmp_path / "two", make_plan(method, sharding=sharding, **fields, **TWO), module=module)
    assert losses(tmp_path / "two") == pytest.approx(alone(method, **fields), abs=within)
    assert record["reload"]["passed"]


def test_two_processes_learn_from_pictures_what_one_does_where_a_batch_of_one_brings_none(
    alone: Callable[..., list[float]], make_plan: Callable[..., dict[str, Any]], tiny_model: Path, tmp_path: Path
) -> None:
    base, data = build("qwen2_5_vl", tiny_model, tmp_path / "base"), write_colours(tmp_path / "data", 24)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for row in rows[::3]:
        del row["images"], row["messages"][0]["content"][0]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"model": {"name": str(base)}, "dataset": {"source": str(data), "eval_fraction": 0.1}}
    steps = dict.fromkeys(("max_steps", "save_steps", "eval_steps"), 4)
    plan = make_plan("lora", sharding="ddp", reads_images=True, **TWO, **told, **steps)
    record = two_processes(tmp_path / "two", plan)
    assert losses(tmp_path / "two") == pytest.approx(alone("lora", reads_images=True, **told, **steps), rel=1e-3)
    assert record["reload"]["passed"]
    assert record["eval_loss_after"] < record["eval_loss_before"]
