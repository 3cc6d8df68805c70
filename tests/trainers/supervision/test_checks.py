"""What is looked at before a model is loaded, and what the peak that was measured says of the plan."""

from pathlib import Path

import msgspec
import pytest

from tests.trainers.plans import full_plan, lora_plan
from trainers.plan import Delivery
from trainers.supervision.checks import Check, Measured, memory_check, quick_checks


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.passed is False]


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
