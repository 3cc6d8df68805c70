import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainers.plans import full_plan, lora_plan
from trainers.errors import PlanRefused
from trainers.plan import load_plan
from trainers.supervision import command
from trainers.supervision.command import Launch, prepare

TWO_PROCESSES = lora_plan(num_gpus=2, sharding="ddp")


def test_one_process_is_plain_python(tmp_path: Path) -> None:
    launch = prepare(lora_plan(), tmp_path, caller={})
    assert launch.command == (
        sys.executable, "-P", "-m", "trainers.training.run", f"{tmp_path}/plan.toml", "--run-dir", str(tmp_path),
        "--resume", "auto",
    )  # fmt: skip
    assert launch.environment["CUDA_VISIBLE_DEVICES"] == ""


def test_several_go_through_torchrun_on_the_chosen_devices(tmp_path: Path) -> None:
    plan = full_plan(
        accelerator="cuda",
        num_gpus=2,
        sharding="fsdp",
        device_uuids=["GPU-aa", "GPU-bb"],
        gradient_checkpointing=False,
    )
    launch = prepare(plan, tmp_path / "run7", caller={})
    assert launch.command[1:9] == (
        "-P", "-m", "trainers.training.torchrun", "--nnodes=1", "--nproc-per-node=2", "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0", "--rdzv-id=run7",
    )  # fmt: skip
    assert launch.environment["CUDA_VISIBLE_DEVICES"] == "GPU-aa,GPU-bb"
    assert launch.environment["ACCELERATE_USE_FSDP"] == "true"
    assert launch.environment["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"


def test_qlora_under_fsdp_is_not_loaded_the_meta_way(tmp_path: Path) -> None:
    plan = lora_plan(method="qlora", quantization="nf4", accelerator="cuda", num_gpus=2, sharding="fsdp")
    assert "ACCELERATE_USE_FSDP" not in prepare(plan, tmp_path, caller={}).environment


def test_what_the_caller_set_stays_but_the_devices_are_the_plans(tmp_path: Path) -> None:
    caller = {"OMP_NUM_THREADS": "7", "CUDA_VISIBLE_DEVICES": "0,1", "PYTHONPATH": "/somewhere"}
    environment = prepare(lora_plan(accelerator="cuda", device_uuids=["GPU-aa"]), tmp_path, caller=caller).environment
    assert "OMP_NUM_THREADS" not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-aa"
    assert environment["PYTHONPATH"].split(os.pathsep)[1:] == ["/somewhere"]


def test_waiting_threads_sleep_on_a_cpu_and_are_no_more_than_the_quota_pays_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(command, "cpu_quota", lambda _: 6)
    alone, two = (prepare(plan, tmp_path, caller={}).environment for plan in (lora_plan(), TWO_PROCESSES))
    assert (alone["OMP_NUM_THREADS"], two["OMP_NUM_THREADS"]) == ("6", "3")
    assert alone["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "OMP_WAIT_POLICY" not in prepare(lora_plan(), tmp_path, caller={"OMP_WAIT_POLICY": "ACTIVE"}).environment


def test_several_nodes_need_a_meeting_point(tmp_path: Path) -> None:
    plan = lora_plan(num_gpus=4, num_nodes=2, sharding="ddp")
    with pytest.raises(PlanRefused, match="spans 2 nodes"):
        prepare(plan, tmp_path)
    command = prepare(plan, tmp_path, rendezvous="head:29500").command
    assert {"--nnodes=2", "--nproc-per-node=2", "--rdzv-endpoint=head:29500"} <= set(command)


def test_a_dry_run_writes_nothing_and_holds_the_plan(tmp_path: Path) -> None:
    launch = prepare(lora_plan(), tmp_path / "run")
    assert isinstance(launch, Launch)
    assert not (tmp_path / "run").exists()
    ((path, content),) = launch.files.items()
    copy = tmp_path / "copy.toml"
    copy.write_text(content)
    assert path == str(tmp_path / "run" / "plan.toml")
    assert load_plan(copy) == lora_plan()
    assert launch.as_shell().endswith(" --resume auto")


def test_neither_launch_nor_supervisor_nor_export_import_torch() -> None:
    code = (
        "import sys, json, trainers.supervision.command, trainers.supervision.supervise;"
        "import trainers.run_folder.checkpoint, trainers.run_folder.fingerprint;"
        "print(json.dumps([m for m in ('torch', 'transformers', 'numpy', 'peft') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 76])
def test_torchrun_ends_with_the_code_of_the_rank_that_failed(tmp_path: Path, code: int) -> None:
    script = tmp_path / "rank.py"
    script.write_text(f"import os, sys; sys.exit({code} if os.environ['RANK'] == '1' else 0)")
    command = [
        sys.executable,
        "-m",
        "trainers.training.torchrun",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
    ]
    assert subprocess.run([*command, str(script)], capture_output=True, check=False).returncode == code
