"""What every cluster script needs of a plan: the plan as a file, processes per node, the training command."""

from __future__ import annotations

import msgspec

from trainers import exit_codes
from trainers.plan import TrainingPlan, plan_to_dict
from trainers.run_folder import layout
from trainers.supervision.command import environment

GRACE_SECONDS = 300
"""Between the warning and the end of a job: one step and one checkpoint have to fit."""
SHUTDOWN_SECONDS = GRACE_SECONDS - 60
"""torchrun's own patience, which has to end before the cluster's."""
CORES_PER_GPU = 8
FINAL_CODES = (
    exit_codes.DONE,
    exit_codes.BAD_PLAN,
    exit_codes.ENVIRONMENT,
    exit_codes.OUT_OF_MEMORY,
    exit_codes.DIVERGED,
    exit_codes.DISK_FULL,
)
"""Exit codes after which starting again changes nothing (trainers.exit_codes)."""


def per_node(plan: TrainingPlan) -> int:
    """Processes, which is GPUs, on each node."""
    return plan.num_gpus // plan.num_nodes


def plan_file(plan: TrainingPlan) -> dict[str, str]:
    """The plan under its usual name."""
    return {layout.PLAN: toml_of(plan)}


def toml_of(plan: TrainingPlan) -> str:
    """The plan without the device ids of this machine."""
    import tomli_w

    return tomli_w.dumps(plan_to_dict(msgspec.structs.replace(plan, device_uuids=())))


def variables(plan: TrainingPlan) -> dict[str, str]:
    """The environment that a local start would set, without what only the node itself knows."""
    found = environment(plan, per_node(plan), {})
    elsewhere = ("PYTHONPATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT")
    return {name: value for name, value in found.items() if name not in elsewhere}


def training(plan_path: str, run_dir: str) -> str:
    """The training process of one rank, for torchrun to start."""
    return f"trainers.training.run {plan_path} --run-dir {run_dir} --resume auto"


def uses_gpus(plan: TrainingPlan) -> bool:
    """Whether the job has to ask for GPUs."""
    return plan.accelerator != "cpu"
