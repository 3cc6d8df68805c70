"""Scripts for clusters: their shell is run against stand-ins, their documents held to what the systems document."""

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainers.plans import full_plan, lora_plan
from trainers.export import export, write
from trainers.launch.cluster import FINAL_CODES, GRACE_SECONDS, SHUTDOWN_SECONDS
from trainers.plan import TrainingPlan, load_plan


def two_nodes(**more: Any) -> TrainingPlan:
    return full_plan(accelerator="cuda", num_gpus=16, num_nodes=2, sharding="fsdp", device_uuids=["GPU-here"], **more)


def stand_ins(folder: Path, exit_code: int) -> None:
    """srun, scontrol and python as scripts that write down how they were called."""
    bodies = {
        "srun": 'exec "$@"',
        "scontrol": '[ "$1" = show ] && printf "nodea\\nnodeb\\n" || echo "$@" >> "$CALLS"',
        "python": f'echo "$OMP_NUM_THREADS threads: $@" >> "$CALLS"; exit {exit_code}',
    }
    for name, body in bodies.items():
        script = folder / name
        script.write_text(f"#!/bin/bash\n{body}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)


def run_job(tmp_path: Path, plan: TrainingPlan, exit_code: int, **variables: str) -> tuple[int, list[str]]:
    write(plan, "slurm", tmp_path / "job")
    stand_ins(tmp_path, exit_code)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NODELIST": "node[a-b]",
        "SLURM_CPUS_PER_TASK": "64",
        "SLURM_NNODES": str(plan.num_nodes),
        "SLURM_SUBMIT_DIR": str(tmp_path / "job with space"),
        **variables,
    }
    done = subprocess.run(["bash", "job.sh"], cwd=tmp_path / "job", env=environment, check=False)
    return done.returncode, (tmp_path / "calls").read_text().splitlines()


def test_the_slurm_job_starts_torchrun_on_every_node(tmp_path: Path) -> None:
    code, calls = run_job(tmp_path, two_nodes(), 0)
    assert code == 0
    assert calls == [
        "8 threads: -m trainers.launch.torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-id=4242 "
        f"--rdzv-endpoint=nodea:24242 -m trainers.run plan.toml --run-dir {tmp_path}/job with space/run --resume auto"
    ]
    script = (tmp_path / "job" / "job.sh").read_text()
    for line in (
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gpus-per-node=8",
        "--requeue",
        f"--signal=TERM@{GRACE_SECONDS}",
    ):
        assert f"#SBATCH {line}\n" in script
    assert "export ACCELERATE_USE_FSDP=true\n" in script
    assert load_plan(tmp_path / "job" / "plan.toml").device_uuids == ()


@pytest.mark.parametrize("code", [75, 1, 137, 143])
def test_a_stopped_or_killed_job_requeues(tmp_path: Path, code: int) -> None:
    ended, calls = run_job(tmp_path, two_nodes(), code)
    assert (ended, calls[-1]) == (code, "requeue 4242")


@pytest.mark.parametrize("code", FINAL_CODES)
def test_a_job_that_would_end_the_same_way_again_does_not(tmp_path: Path, code: int) -> None:
    ended, calls = run_job(tmp_path, two_nodes(), code)
    assert ended == code
    assert "requeue 4242" not in calls


def test_requeueing_has_an_end(tmp_path: Path) -> None:
    assert "requeue 4242" not in run_job(tmp_path, two_nodes(), 75, SLURM_RESTART_COUNT="20")[1]


def test_a_cpu_plan_asks_slurm_for_no_gpu() -> None:
    assert "gpus-per-node" not in export(lora_plan(), "slurm").files["job.sh"]


def test_patience_ends_in_the_right_order() -> None:
    assert SHUTDOWN_SECONDS < GRACE_SECONDS


SKY_TASK_KEYS = {"name", "num_nodes", "resources", "workdir", "file_mounts", "setup", "envs", "run"}
SKY_RESOURCE_KEYS = {"accelerators", "cpus", "use_spot", "job_recovery", "disk_size"}


@pytest.mark.parametrize("plan", [two_nodes(), lora_plan()])
def test_the_skypilot_task(plan: TrainingPlan) -> None:
    made = export(plan, "skypilot")
    task = yaml.safe_load(made.files["task.yaml"])
    assert set(task) == SKY_TASK_KEYS
    assert set(task["resources"]) <= SKY_RESOURCE_KEYS
    assert task["num_nodes"] == plan.num_nodes
    assert "--resume auto" in task["run"]
    assert subprocess.run(["bash", "-n"], input=task["run"], text=True, check=False).returncode == 0
    assert "plan.toml" in made.files


def test_the_kubernetes_job() -> None:
    made = export(two_nodes(), "kubernetes")
    job, config = yaml.safe_load(made.files["job.yaml"]), yaml.safe_load(made.files["plan.yaml"])
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 8}}
    assert trainer["command"][:4] == ["python", "-m", "trainers.launch.torchrun", "-m"]
    assert "--rdzv" not in json.dumps(trainer["command"])
    pod = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    mounted = {volume["name"] for volume in pod["template"]["spec"]["template"]["spec"]["volumes"]}
    (container,) = pod["template"]["spec"]["template"]["spec"]["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == mounted
    assert "device_uuids = []" in config["data"]["plan.toml"]
