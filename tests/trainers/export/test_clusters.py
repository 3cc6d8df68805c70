"""Jobs for other places: their shell is run against stand-ins, their documents held to what the systems document."""

import ast
import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainers.plans import full_plan, lora_plan
from trainers.errors import PlanRefused
from trainers.export import TARGETS, describe, export, write
from trainers.export.cluster import FINAL_CODES, GRACE_SECONDS, SHUTDOWN_SECONDS
from trainers.export.kubernetes import BATCH_JOB, OUT, PYTORCH_JOB, SECRET, TRAIN_JOB
from trainers.export.machines import COMMON_GIB, MODAL_NAMES, SKYPILOT_NAMES, dockerfile
from trainers.plan import MadeFor, TrainingPlan, load_plan

GIB = 1024**3
ON_H200 = MadeFor(gpu="NVIDIA H200", gpus_per_node=8, host_bytes=100 * GIB, low_hours=3.0, high_hours=10.2)
JOBS = [target for target in TARGETS if describe(target).is_job]
SPREAD = [target for target in JOBS if target in ("slurm", "kubernetes", "skypilot", "ray")]


def two_nodes(**more: Any) -> TrainingPlan:
    return full_plan(accelerator="cuda", num_gpus=16, num_nodes=2, sharding="fsdp", device_uuids=["GPU-here"], **more)


def one_node(**more: Any) -> TrainingPlan:
    return full_plan(accelerator="cuda", num_gpus=8, sharding="fsdp", device_uuids=["GPU-here"], **more)


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


def written(plan: TrainingPlan, target: str, folder: Path) -> None:
    """The texts of a job alone: what it carries has tests of its own, in test_job.py."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in export(plan, target).files.items():
        (folder / name).write_text(content, encoding="utf-8")


def run_job(tmp_path: Path, plan: TrainingPlan, exit_code: int, **variables: str) -> tuple[int, list[str]]:
    written(plan, "slurm", tmp_path / "job")
    stand_ins(tmp_path, exit_code)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHON": "python",
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


def test_the_slurm_job_tries_two_steps_and_then_the_plan_on_every_node(tmp_path: Path) -> None:
    code, calls = run_job(tmp_path, two_nodes(), 0)
    assert code == 0
    run_dir = f"{tmp_path}/job with space/run"
    torchrun = (
        "8 threads: -P -m trainers.training.torchrun --nproc-per-node=8 --nnodes=2 --rdzv-backend=c10d "
        "--rdzv-id=4242 --rdzv-endpoint=nodea:24242 -m trainers.training.run"
    )
    assert calls == [
        f"{torchrun} trial.toml --run-dir {run_dir}/trial --resume auto",
        f"{torchrun} plan.toml --run-dir {run_dir} --resume auto",
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
    assert "export ACCELERATE_USE_FSDP=true\n" in (tmp_path / "job" / "run.sh").read_text()
    assert load_plan(tmp_path / "job" / "plan.toml").device_uuids == ()
    assert load_plan(tmp_path / "job" / "trial.toml").max_steps == 2
    assert (Path(run_dir) / "exit_code").read_text() == "0\n"


@pytest.mark.parametrize("code", [75, 1, 137, 143])
def test_a_stopped_or_killed_job_requeues(tmp_path: Path, code: int) -> None:
    ended, calls = run_job(tmp_path, two_nodes(), code)
    assert (ended, calls[-1]) == (code, "requeue 4242")
    assert len(calls) == 2, "the plan is not started after a trial that failed"


@pytest.mark.parametrize("code", FINAL_CODES)
def test_a_job_that_would_end_the_same_way_again_does_not(tmp_path: Path, code: int) -> None:
    ended, calls = run_job(tmp_path, two_nodes(), code)
    assert ended == code
    assert "requeue 4242" not in calls


def test_requeueing_has_an_end(tmp_path: Path) -> None:
    assert "requeue 4242" not in run_job(tmp_path, two_nodes(), 75, SLURM_RESTART_COUNT="20")[1]


def test_a_cpu_plan_asks_for_no_gpu() -> None:
    assert "gpus-per-node" not in export(lora_plan(), "slurm").files["job.sh"]
    assert "nvidia.com" not in export(lora_plan(), "kubernetes").files[BATCH_JOB]
    assert "accelerators" not in export(lora_plan(), "skypilot").files["task.yaml"]
    assert "gpu" not in export(lora_plan(), "modal").files["modal_job.py"].lower()
    assert "--gpus" not in export(lora_plan(), "docker").command
    assert "'GPU'" not in export(lora_plan(), "ray").files["ray_job.py"]


def test_patience_ends_in_the_right_order() -> None:
    assert SHUTDOWN_SECONDS < GRACE_SECONDS


SKY_TASK_KEYS = {"name", "num_nodes", "resources", "workdir", "file_mounts", "envs", "secrets", "run"}
SKY_RESOURCE_KEYS = {"accelerators", "cpus", "memory", "use_spot", "job_recovery", "disk_size"}


@pytest.mark.parametrize("plan", [two_nodes(), lora_plan()])
def test_the_skypilot_task(plan: TrainingPlan) -> None:
    made = export(plan, "skypilot")
    task = yaml.safe_load(made.files["task.yaml"])
    assert set(task) == SKY_TASK_KEYS
    assert set(task["resources"]) <= SKY_RESOURCE_KEYS
    assert task["num_nodes"] == plan.num_nodes
    assert subprocess.run(["bash", "-n"], input=task["run"], text=True, check=False).returncode == 0
    fetch = yaml.safe_load(made.files["fetch.yaml"])
    assert fetch["file_mounts"] == task["file_mounts"]


@pytest.mark.parametrize("kind", [TRAIN_JOB, PYTORCH_JOB])
def test_kubernetes_mounts_the_claim_and_shared_memory_on_every_node(kind: str) -> None:
    job = yaml.safe_load(export(two_nodes(made_for=ON_H200), "kubernetes").files[kind])
    said = json.dumps(job)
    assert f'"mountPath": "{OUT}"' in said and '"mountPath": "/dev/shm"' in said and '"medium": "Memory"' in said
    assert SECRET in said and f'"value": "{OUT}/cache"' in said
    assert '"nvidia.com/gpu": 8' in said and '"memory": "120Gi"' in said
    assert "--rdzv" not in said


def test_kubernetes_starts_a_worker_for_each_node_beside_the_master() -> None:
    job = yaml.safe_load(export(two_nodes(), "kubernetes").files[PYTORCH_JOB])
    replicas = job["spec"]["pytorchReplicaSpecs"]
    assert {role: replica["replicas"] for role, replica in replicas.items()} == {"Master": 1, "Worker": 1}
    assert [replica["template"]["spec"]["containers"][0]["name"] for replica in replicas.values()] == ["pytorch"] * 2


def test_a_plain_job_is_for_one_node_and_ends_where_another_start_changes_nothing() -> None:
    assert BATCH_JOB not in export(two_nodes(), "kubernetes").files
    job = yaml.safe_load(export(one_node(made_for=ON_H200), "kubernetes").files[BATCH_JOB])
    assert job["spec"]["activeDeadlineSeconds"] == 13 * 3600
    final = job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]
    assert set(final) == set(FINAL_CODES) - {0}


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


@pytest.mark.parametrize("gpu", MODAL_NAMES)
def test_modal_is_asked_for_the_card_that_was_planned_on(gpu: str) -> None:
    program = export(one_node(made_for=MadeFor(gpu=gpu, gpus_per_node=8)), "modal").files["modal_job.py"]
    assert f"gpu='{MODAL_NAMES[gpu]}:8'" in program


def test_skypilot_is_offered_every_common_card_with_room_for_one_that_it_does_not_know() -> None:
    laptop = MadeFor(gpu="NVIDIA GeForce RTX 5090 Laptop GPU", gpus_per_node=1)
    plan = lora_plan(accelerator="cuda", compute_dtype="bf16", predicted_peak_bytes=30 * GIB, made_for=laptop)
    made = export(plan, "skypilot")
    offered = yaml.safe_load(made.files["task.yaml"])["resources"]["accelerators"]
    assert set(offered) == {"A100", "L40S", "H100", "A100-80GB", "H200"}
    assert all(COMMON_GIB[name] >= 30 for name in offered) and any("cheapest" in note for note in made.notes)


def test_docker_is_told_of_the_chosen_cards_in_the_quotes_that_it_wants() -> None:
    plan = one_node(made_for=ON_H200)
    command = export(plan, "docker").command
    assert "'--gpus=\"device=GPU-here\"'" in command
    assert "--memory=120g" in command and "--shm-size=16g" in command and "HF_HOME=/cache" in command


def test_the_dockerfile_of_the_repository_is_the_one_of_the_exports_built_from_source() -> None:
    root = Path(__file__).parents[3]
    assert (root / "Dockerfile").read_text("utf-8") == dockerfile(from_source=True)
    assert export(lora_plan(), "docker").files["Dockerfile"] == dockerfile()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "constraints.txt"):
        assert name in dockerfile(from_source=True) and (root / name).is_file()


@pytest.mark.parametrize("target", ["ray", "modal"])
def test_a_program_of_a_job_is_python(target: str) -> None:
    (program,) = [
        text for name, text in export(one_node(made_for=ON_H200), target).files.items() if name[-3:] == ".py"
    ]
    ast.parse(program)


@pytest.mark.parametrize("target", JOBS)
@pytest.mark.parametrize("plan", [one_node(), one_node(made_for=ON_H200), lora_plan()])
def test_no_export_leaves_a_placeholder_or_installs_a_name_that_nobody_claimed(
    target: str, plan: TrainingPlan
) -> None:
    made = export(plan, target)
    said = json.dumps([made.files, made.command])
    assert "IMAGE" not in said and "HOST" not in said and "in place of" not in said
    assert "pip install 'sft-advisor" not in said and "pip install sft-advisor" not in said


@pytest.mark.parametrize("target", JOBS)
def test_every_script_of_a_job_is_bash(target: str) -> None:
    for name, text in export(one_node(), target).files.items():
        if name.endswith(".sh"):
            assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0, name


@pytest.mark.parametrize("target", JOBS)
def test_several_nodes_are_started_or_refused(target: str, tmp_path: Path) -> None:
    if target in SPREAD:
        assert export(two_nodes(), target).files
        return
    try:
        write(two_nodes(), target, tmp_path / "job")
    except PlanRefused as refused:
        assert "spans 2 nodes" in str(refused)
    else:
        pytest.fail(
            f"{target} takes a plan over two nodes: call require_one_node() of trainers/export/ssh.py first; "
            "one that starts each node is named in SPREAD here"
        )
    assert not list((tmp_path / "job").iterdir()), "nothing was copied"
