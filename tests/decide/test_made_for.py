"""A plan knows the machine it was made for, and is held against the one it is launched on."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.base.errors import MachineError
from advisor.commands.launch import OTHER_MACHINE, require_machine
from advisor.decide.made_for import judge_machine
from advisor.probe import hardware_from_text
from tests.trainers.plans import lora_plan
from trainers.plan import MadeFor, TrainingPlan, load_plan, save_plan

GIB = 1024**3


def made_for_4090(**more: object) -> TrainingPlan:
    machine = MadeFor(gpu="NVIDIA GeForce RTX 4090", gpus_per_node=1, gpu_bytes=24564 * 1024**2)
    fields = {"accelerator": "cuda", "compute_dtype": "bf16", "predicted_peak_bytes": 20 * GIB, "made_for": machine}
    return lora_plan(**{**fields, **more})


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ("cpu, 64GB RAM", "made for 1x NVIDIA GeForce RTX 4090 (24.0 GiB); this machine has no usable GPU"),
        ("RTX 3060", "takes up to 20.0 GiB of each GPU; NVIDIA GeForce RTX 3060 has 11.8 GiB free"),
        ("V100 32GB", "Tesla V100-SXM2-32GB has no bf16"),
        ("MI300X", "by cuda; here is 1x AMD Instinct MI300X"),
    ],
)
def test_a_machine_that_cannot_be_the_planned_one_is_named(here: str, why: str) -> None:
    assert any(why in reason for reason in judge_machine(made_for_4090(), hardware_from_text(here)).blocking)


def test_fewer_gpus_than_planned_block() -> None:
    machine = MadeFor(gpu="NVIDIA L4", gpus_per_node=4)
    plan = made_for_4090(made_for=machine, num_gpus=4, sharding="ddp")
    (why,) = judge_machine(plan, hardware_from_text("2x L4")).blocking
    assert "made for 4x NVIDIA L4; this machine has 2x NVIDIA L4" in why


@pytest.mark.parametrize("here", ["RTX 4090", "2x RTX 4090"])
def test_the_planned_machine_and_a_larger_one_pass(here: str) -> None:
    assert judge_machine(made_for_4090(), hardware_from_text(here)).blocking == ()


def test_another_card_with_room_is_only_remarked() -> None:
    verdict = judge_machine(made_for_4090(), hardware_from_text("A100 80GB"))
    assert verdict.blocking == ()
    assert "the hours predicted are another's" in verdict.remarks[0]


def test_a_plan_for_a_cpu_needs_its_memory() -> None:
    plan = lora_plan(predicted_peak_bytes=40 * GIB, made_for=MadeFor(ram_bytes=64 * GIB))
    (why,) = judge_machine(plan, hardware_from_text("cpu, 32GB RAM")).blocking
    assert "up to 40.0 GiB" in why and "this machine has 32.0 GiB" in why
    assert judge_machine(plan, hardware_from_text("cpu, 64GB RAM")).blocking == ()


def test_a_plan_written_by_hand_is_not_judged() -> None:
    assert judge_machine(made_for_4090(made_for=None), hardware_from_text("cpu")).blocking == ()


def test_a_launch_is_refused_before_anything_else_and_says_the_ways_on(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = MadeFor(gpu="NVIDIA B300 SXM6 AC", gpus_per_node=8)
    plan = made_for_4090(made_for=elsewhere, num_gpus=8, sharding="fsdp")
    with pytest.raises(MachineError) as caught:
        require_machine(plan)
    (problem,) = caught.value.problems
    assert "8x NVIDIA B300" in problem.why
    assert "plan again" in problem.fix and f"--allow {OTHER_MACHINE}" in problem.fix and "export" in problem.fix
    require_machine(plan, allow=[OTHER_MACHINE])
    assert "accepted" in capsys.readouterr().err


def test_the_machine_survives_the_file(tmp_path: Path) -> None:
    save_plan(made_for_4090(), tmp_path / "plan.toml")
    assert load_plan(tmp_path / "plan.toml") == made_for_4090()
