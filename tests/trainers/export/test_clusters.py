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
from trainers.export.cluster import FINAL_CODES, GRACE_SECONDS, SHUTDOWN_SECONDS
from trainers.export.machines import COMMON_GIB, SKYPILOT_NAMES
from trainers.plan import MadeFor, TrainingPlan, load_plan


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
        "8 threads: -P -m trainers.training.torchrun --nnodes=2 --nproc-per-node=8 "
        "--rdzv-backend=c10d --rdzv-id=4242 "
        "--rdzv-endpoint=nodea:24242 -m trainers.training.run plan.toml "
        f"--run-dir {tmp_path}/job with space/run --resume auto"
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
    assert trainer["command"][:5] == ["python", "-P", "-m", "trainers.training.torchrun", "-m"]
    assert "--rdzv" not in json.dumps(trainer["command"])
    pod = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    mounted = {volume["name"] for volume in pod["template"]["spec"]["template"]["spec"]["volumes"]}
    (container,) = pod["template"]["spec"]["template"]["spec"]["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == mounted
    assert "device_uuids = []" in config["data"]["plan.toml"]


GIB = 1024**3
ON_H200 = MadeFor(gpu="NVIDIA H200", gpus_per_node=8, host_bytes=100 * GIB, low_hours=3.0, high_hours=10.2)


def test_slurm_is_asked_for_the_predicted_time_and_memory() -> None:
    script = export(two_nodes(made_for=ON_H200), "slurm").files["job.sh"]
    assert "#SBATCH --time=13:00:00\n" in script
    assert "#SBATCH --mem=120G\n" in script
    little = MadeFor(gpu="NVIDIA L4", gpus_per_node=8, host_bytes=GIB)
    assert "#SBATCH --mem=64G\n" in export(two_nodes(made_for=little), "slurm").files["job.sh"]
    unknown = export(two_nodes(), "slurm").files["job.sh"]
    assert "--time=24:00:00" in unknown and "--mem" not in unknown


@pytest.mark.parametrize("gpu", SKYPILOT_NAMES)
def test_skypilot_is_asked_for_the_card_that_was_planned_on(gpu: str) -> None:
    made = export(two_nodes(made_for=MadeFor(gpu=gpu, gpus_per_node=8)), "skypilot")
    task = yaml.safe_load(made.files["task.yaml"])
    assert task["resources"]["accelerators"] == {SKYPILOT_NAMES[gpu]: 8}
    assert not any("cheapest" in note for note in made.notes)


def test_skypilot_is_offered_every_common_card_with_room_for_one_that_it_does_not_know() -> None:
    laptop = MadeFor(gpu="NVIDIA GeForce RTX 5090 Laptop GPU", gpus_per_node=1)
    plan = lora_plan(accelerator="cuda", compute_dtype="bf16", predicted_peak_bytes=30 * GIB, made_for=laptop)
    made = export(plan, "skypilot")
    offered = yaml.safe_load(made.files["task.yaml"])["resources"]["accelerators"]
    assert set(offered) == {"A100", "L40S", "H100", "A100-80GB", "H200"}
    assert all(COMMON_GIB[name] >= 30 for name in offered) and any("cheapest" in note for note in made.notes)


def test_kubernetes_names_an_image_that_the_dockerfile_beside_it_builds() -> None:
    made = export(two_nodes(made_for=ON_H200), "kubernetes")
    trainer = yaml.safe_load(made.files["job.yaml"])["spec"]["trainer"]
    assert any(f"docker build -t {trainer['image']} ." in note for note in made.notes)
    assert trainer["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 8}, "requests": {"memory": "120Gi"}}
    lines = made.files["Dockerfile"].splitlines()
    assert lines[0].startswith("FROM ") and any(line.startswith("COPY sft_advisor-") for line in lines)


@pytest.mark.parametrize("target", ["slurm", "skypilot", "kubernetes"])
@pytest.mark.parametrize("plan", [two_nodes(), two_nodes(made_for=ON_H200), lora_plan()])
def test_no_export_leaves_a_placeholder_or_installs_a_name_that_nobody_claimed(
    target: str, plan: TrainingPlan
) -> None:
    said = json.dumps(export(plan, target).files)
    assert "IMAGE" not in said and "in place of" not in said
    assert "pip install 'sft-advisor" not in said and "pip install sft-advisor" not in said
