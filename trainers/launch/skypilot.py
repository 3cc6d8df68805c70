"""The plan as a SkyPilot task: `sky jobs launch task.yaml`. When a spot machine is taken it goes on elsewhere."""

from __future__ import annotations

from typing import Any

from trainers.export.table import Export, as_yaml
from trainers.launch.cluster import per_node, plan_file, training, uses_gpus, variables
from trainers.launch.local import PLAN_FILE
from trainers.plan import TrainingPlan

TASK = "task.yaml"
RUN_DIR = "/out/run"
SPOT_SHUTDOWN_SECONDS = 100
"""A spot machine gives 30 s to 2 min of notice: the checkpoints written all along are what counts."""


def export(plan: TrainingPlan) -> Export:
    """`task.yaml` and the plan."""
    resources: dict[str, Any] = {
        "use_spot": True,
        "job_recovery": {"strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": 2},
        "disk_size": 512,
    }
    if uses_gpus(plan):
        resources = {"accelerators": f"H100:{per_node(plan)}", **resources}
    else:
        resources = {"cpus": f"{per_node(plan)}+", **resources}
    task = {
        "name": "sft",
        "num_nodes": plan.num_nodes,
        "resources": resources,
        "workdir": ".",
        "file_mounts": {"/out": {"name": "sft-runs", "mode": "MOUNT_CACHED"}},
        "setup": "pip install 'sft-advisor[train]'",
        "envs": {**variables(plan), "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SPOT_SHUTDOWN_SECONDS)},
        "run": _run(plan),
    }
    return Export(
        files={TASK: as_yaml(task), **plan_file(plan)},
        command=f"sky jobs launch {TASK}",
        notes=("put the card that the plan was made for in place of H100, and your own bucket under file_mounts",),
    )


def _run(plan: TrainingPlan) -> str:
    processes = "$SKYPILOT_NUM_GPUS_PER_NODE" if uses_gpus(plan) else str(per_node(plan))
    return (
        f"exec python -m trainers.launch.torchrun --nnodes $SKYPILOT_NUM_NODES --nproc-per-node {processes} \\\n"
        '  --node-rank $SKYPILOT_NODE_RANK --master-addr $(echo "$SKYPILOT_NODE_IPS" | head -n1) '
        "--master-port 29500 \\\n"
        f"  -m {training(PLAN_FILE, RUN_DIR)}\n"
    )
