"""The plan as a SkyPilot task: `sky jobs launch task.yaml`. When a spot machine is taken it goes on elsewhere."""

from __future__ import annotations

from typing import Any, get_args

from trainers.export.cluster import per_node, plan_file, training, uses_gpus, variables
from trainers.export.machines import SKYPILOT_NAMES, WHEEL_NOTE, WHEEL_WITH_EXTRA, skypilot_cards
from trainers.export.table import Export, Target
from trainers.foreign.text import yaml
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.python import RUN_MODULE
from trainers.run_folder import layout

TARGET = Target(
    title="SkyPilot",
    trains_by_itself=False,
    methods=get_args(Method),
)
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
        resources = {"accelerators": skypilot_cards(plan, per_node(plan)), **resources}
    else:
        resources = {"cpus": f"{per_node(plan)}+", **resources}
    task = {
        "name": "sft",
        "num_nodes": plan.num_nodes,
        "resources": resources,
        "workdir": ".",
        "file_mounts": {"/out": {"name": "sft-runs", "mode": "MOUNT_CACHED"}},
        "setup": f"pip install {WHEEL_WITH_EXTRA}",
        "envs": {**variables(plan), "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SPOT_SHUTDOWN_SECONDS)},
        "run": _run(plan),
    }
    return Export(
        files={TASK: yaml(task), **plan_file(plan)},
        command=f"sky jobs launch {TASK}",
        notes=(WHEEL_NOTE, *_card_notes(plan)),
    )


def _card_notes(plan: TrainingPlan) -> tuple[str, ...]:
    """What to know of the cards asked for, where they are not the one planned on."""
    planned = plan.made_for.gpu if plan.made_for else None
    if not uses_gpus(plan) or planned in SKYPILOT_NAMES:
        return ()
    names = ", ".join(skypilot_cards(plan, per_node(plan)))
    return (f"SkyPilot takes the cheapest of {names}; what was predicted holds for another card",)


def _run(plan: TrainingPlan) -> str:
    processes = "$SKYPILOT_NUM_GPUS_PER_NODE" if uses_gpus(plan) else str(per_node(plan))
    return (
        f"exec {RUN_MODULE} trainers.training.torchrun "
        f"--nnodes $SKYPILOT_NUM_NODES --nproc-per-node {processes} \\\n"
        '  --node-rank $SKYPILOT_NODE_RANK --master-addr $(echo "$SKYPILOT_NODE_IPS" | head -n1) '
        "--master-port 29500 \\\n"
        f"  -m {training(layout.PLAN, RUN_DIR)}\n"
    )
