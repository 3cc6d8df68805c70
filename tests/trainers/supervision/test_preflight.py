"""What the preflight finds before a model is loaded; the longest batch itself is in test_faults.py."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from tests.documents import validated
from tests.trainers.plans import full_plan, lora_plan
from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.plan import Delivery
from trainers.run_folder.lock import hold
from trainers.run_folder.record import RunRecord
from trainers.supervision.checks import Measured, memory_check, quick_checks
from trainers.supervision.preflight import goes_on, judged, preflight
from trainers.training.environment import findings, look

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where no GPU is")


def failed(checks: list[object]) -> list[str]:
    return [check.name for check in checks if check.passed is False]  # type: ignore[attr-defined]


def test_a_plain_plan_passes(tmp_path: Path) -> None:
    assert failed(quick_checks(lora_plan(), tmp_path)) == []


def test_a_folder_that_cannot_be_written_is_named() -> None:
    (check,) = [check for check in quick_checks(lora_plan(), Path("/proc")) if check.passed is False]
    assert check.name == "run_folder"
    assert "/proc cannot be written" in check.said


def test_an_adapter_that_vllm_would_refuse_is_found_before_it_is_trained(tmp_path: Path) -> None:
    plan = lora_plan(use_dora=True, lora_rank=1024)
    served = msgspec.structs.replace(plan, delivery=Delivery(engine="vllm", artifact="adapter"))
    (check,) = [check for check in quick_checks(served, tmp_path) if check.passed is False]
    assert "DoRA" in check.said and "1024" in check.said
    assert failed(quick_checks(plan, tmp_path)) == []


def test_what_is_only_a_warning_blocks_nothing(tmp_path: Path) -> None:
    plan = full_plan(num_gpus=4, num_nodes=2, sharding="fsdp")
    warned = [check.name for check in quick_checks(plan, tmp_path) if check.passed is None]
    assert warned == ["shared_folder", "fsdp_on_cpu"]


@pytest.mark.parametrize(
    ("peak_gib", "limit_gib", "predicted_gib", "passed", "said"),
    [
        (4, 16, 5, True, "a peak of 4.0 GiB of 16.0 GiB was measured"),
        (15.5, 16, 14, None, "hardly any to spare; micro-batch 4 -> 2"),
        (4, 16, 20, True, "the 20.0 GiB predicted were too many, and do not count now"),
    ],
)
def test_the_plan_is_judged_again_by_what_was_measured(
    peak_gib: float, limit_gib: float, predicted_gib: float, passed: bool | None, said: str
) -> None:
    plan = lora_plan(micro_batch_size=4, predicted_peak_bytes=predicted_gib * 2**30)
    found = Measured(
        peak_bytes=int(peak_gib * 2**30), limit_bytes=int(limit_gib * 2**30), kind="device",
        allocated_peak_bytes=None, longest_tokens=99, micro_batch_size=4, forward_passes=1, step_seconds=1.0,
        eval_seconds=None, save_seconds=1.0, checkpoint_bytes=1, total_steps=1, total_seconds_at_most=1.0, loss=1.0,
    )  # fmt: skip
    check = memory_check(plan, found)
    assert check.passed is passed
    assert said in check.said


def test_a_model_that_the_host_cannot_hold_while_it_loads_is_warned_of(tmp_path: Path) -> None:
    shards = {"sharding": "fsdp", "num_gpus": 4, "accelerator": "cuda"}
    for params, passed in ((10**6, True), (10**15, None)):
        plan = full_plan(model={"name": "m", "num_params": params}, **shards)
        (check,) = [check for check in quick_checks(plan, tmp_path) if check.name == "host_memory"]
        assert check.passed is passed
    alone = full_plan(model={"name": "m", "num_params": 10**15})
    assert not [check for check in quick_checks(alone, tmp_path) if check.name == "host_memory"]


@pytest.mark.slow
def test_bitsandbytes_really_packs_where_it_is_needed(tmp_path: Path) -> None:
    checks = look(lora_plan(method="qlora", quantization="nf4"), RunRecord(tmp_path))
    assert {check.name: check.passed for check in checks} == {"torch": True, "bitsandbytes": True}


@without_gpu
def test_a_torch_without_gpus_is_told_with_the_way_out() -> None:
    wanted = {"accelerator": "cuda", "bf16": True, "bitsandbytes": False, "processes": 1}
    found = {name: (passed, said) for name, passed, said in findings(wanted)}
    assert found["gpu"][0] is False
    assert "pytorch.org/get-started" in found["gpu"][1]


@pytest.mark.slow
@without_gpu
def test_a_blocked_plan_ends_with_5_and_is_written_down(tmp_path: Path) -> None:
    found = preflight(lora_plan(accelerator="cuda"), tmp_path)
    validated("preflight", found)
    assert (found.outcome, found.exit_code, found.measured) == ("blocked", exit_codes.ENVIRONMENT, None)
    assert json.loads((tmp_path / "preflight.json").read_bytes())["outcome"] == "blocked"


def test_a_torch_that_dies_in_its_check_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    def dies() -> int:
        RunRecord(tmp_path).update(phase="environment", failure=None)
        return 139

    found = judged(lora_plan(), tmp_path, dies, goes_on=True)
    assert (found.outcome, found.exit_code) == ("blocked", exit_codes.ENVIRONMENT)
    (death,) = failed(list(found.checks))
    assert death == "environment"
    assert "torch or the driver ended the process" in found.said and "139" in found.said


@pytest.mark.parametrize(
    ("fields", "shared"),
    [
        ({}, True),
        ({"num_gpus": 2, "sharding": "ddp"}, True),
        ({"num_gpus": 2, "sharding": "fsdp"}, False),
        ({"num_gpus": 2, "sharding": "zero2"}, False),
    ],
)
def test_one_process_tries_and_trains_where_no_layout_is_made_for_one_training_only(
    fields: dict[str, object], shared: bool
) -> None:
    assert goes_on(full_plan(**fields)) is shared


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(PlanRefused, match="in use"):
        preflight(lora_plan(), tmp_path)


def test_the_command_explains_a_missing_plan(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "trainers.supervision.preflight",
        str(tmp_path / "no.toml"),
        "--run-dir",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exit_codes.BAD_PLAN
    assert "there is no plan at" in done.stderr
    assert "Traceback" not in done.stderr
