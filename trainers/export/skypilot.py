"""The plan as a SkyPilot task: `sky jobs launch task.yaml`. When a spot machine is taken it goes on elsewhere."""

from __future__ import annotations

import getpass
import hashlib
import platform
from typing import Any, get_args

from trainers.export.cluster import per_node, uses_gpus
from trainers.export.job import RUN_DIR, START, texts
from trainers.export.machines import SKYPILOT_NAMES, host_gib, skypilot_cards
from trainers.export.table import Export, Target
from trainers.foreign.text import yaml
from trainers.method import Method
from trainers.plan import TrainingPlan

TARGET = Target(
    title="SkyPilot",
    trains_by_itself=False,
    methods=get_args(Method),
)
TASK, FETCH = "task.yaml", "fetch.yaml"
OUT = "/out"
SPOT_SHUTDOWN_SECONDS = 100
"""A spot machine gives 30 s to 2 min of notice: the checkpoints written all along are what counts."""


def export(plan: TrainingPlan) -> Export:
    """`task.yaml` and the job, and the task of a small machine that the result is fetched through."""
    return Export(
        files={TASK: yaml(task(plan, RUN_DIR)), FETCH: yaml(fetch_task()), **texts(plan)},
        command=f"sky jobs launch --secret HF_TOKEN {TASK}",
        notes=(
            f"the run is kept in the bucket {bucket()}; to fetch it: sky launch -c sft-fetch {FETCH}, "
            f"then rsync -a sft-fetch:{OUT}/{RUN_DIR}/ {RUN_DIR}/",
            *_card_notes(plan),
        ),
    )


def task(plan: TrainingPlan, name: str) -> dict[str, Any]:
    """The task, whose run is kept under `name` in the bucket."""
    gib = host_gib(plan)
    resources: dict[str, Any] = {
        "use_spot": True,
        "job_recovery": {"strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": 2},
        "disk_size": 512,
    }
    if uses_gpus(plan):
        resources["accelerators"] = skypilot_cards(plan, per_node(plan))
    else:
        resources["cpus"] = f"{per_node(plan)}+"
    if gib:
        resources["memory"] = f"{gib}+"
    return {
        "name": "sft",
        "num_nodes": plan.num_nodes,
        "resources": resources,
        "workdir": ".",
        "file_mounts": _bucket_mount(),
        "envs": {"RUN_DIR": f"{OUT}/{name}", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SPOT_SHUTDOWN_SECONDS)},
        "secrets": {"HF_TOKEN": ""},
        "run": _run(),
    }


def fetch_task() -> dict[str, Any]:
    """A small machine with the bucket, which files are read from by ssh."""
    return {"name": "sft-fetch", "resources": {"cpus": "2+"}, "file_mounts": _bucket_mount()}


def bucket() -> str:
    """A bucket's name that only this user on this machine has: those of a cloud are shared by the whole world."""
    who = f"{getpass.getuser()}@{platform.node()}"
    return f"sft-runs-{hashlib.sha256(who.encode()).hexdigest()[:12]}"


def _bucket_mount() -> dict[str, Any]:
    return {OUT: {"name": bucket(), "mode": "MOUNT_CACHED"}}


def _card_notes(plan: TrainingPlan) -> tuple[str, ...]:
    """What to know of the cards asked for, where they are not the one planned on."""
    planned = plan.made_for.gpu if plan.made_for else None
    if not uses_gpus(plan) or planned in SKYPILOT_NAMES:
        return ()
    names = ", ".join(skypilot_cards(plan, per_node(plan)))
    return (f"SkyPilot takes the cheapest of {names}; what was predicted holds for another card",)


def _run() -> str:
    return (
        f"exec bash {START} --nnodes $SKYPILOT_NUM_NODES --node-rank $SKYPILOT_NODE_RANK \\\n"
        '  --master-addr $(echo "$SKYPILOT_NODE_IPS" | head -n1) --master-port 29500\n'
    )
