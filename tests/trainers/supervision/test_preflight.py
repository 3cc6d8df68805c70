"""The verdict on a plan before it runs; the longest batch itself is in test_faults.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.documents import validated
from tests.trainers.plans import full_plan, lora_plan
from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.run_folder.lock import hold
from trainers.run_folder.record import RunRecord
from trainers.supervision.preflight import goes_on, judged, preflight
from trainers.training.environment import findings, look

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where no GPU is")


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
    (death,) = (check.name for check in found.checks if check.passed is False)
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
