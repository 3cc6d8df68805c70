"""The plan as a Ray job: a task on each node of the cluster, which meet at the first and start our own processes."""

from __future__ import annotations

from typing import get_args

from trainers.export.cluster import per_node, uses_gpus
from trainers.export.job import START, texts
from trainers.export.machines import host_gib
from trainers.export.table import Export, Target
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.python import SAFE_PATH

TARGET = Target(title="Ray", trains_by_itself=False, methods=get_args(Method))
DRIVER = "ray_job.py"
COMMAND = f"ray job submit --working-dir . -- python {SAFE_PATH} {DRIVER}"
CORES_PER_GPU = 2
MOST_STARTS = 20
UPLOAD_BYTES = 500 * 1024**2
"""Ray takes no larger working directory (RAY_RUNTIME_ENV_WORKING_DIR_MAX_SIZE... of its documentation: 500 MiB)."""


def export(plan: TrainingPlan) -> Export:
    """The driver and the job."""
    return Export(
        files={DRIVER: driver(plan), **texts(plan)},
        command=COMMAND,
        notes=(
            "RUN_DIR has to be on storage that all nodes of the cluster share: "
            '--runtime-env-json \'{"env_vars": {"RUN_DIR": "/shared/run"}}\'',
            "PYTHON and HF_TOKEN are taken from the environment of the nodes",
        ),
    )


def driver(plan: TrainingPlan) -> str:
    """A program for the cluster's own Python: it needs ray and nothing of ours."""
    gib = host_gib(plan)
    cores = per_node(plan) * (CORES_PER_GPU if uses_gpus(plan) else 1)
    bundle: dict[str, int] = {"CPU": cores}
    bundle |= {"GPU": per_node(plan)} if uses_gpus(plan) else {}
    bundle |= {"memory": gib * 1024**3} if gib else {}
    return f'''"""{COMMAND}: one task a node, which meet at the first."""

import os
import socket
import subprocess
import sys

os.environ |= {{"RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0"}}  # the log as it was written

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

NODES = {plan.num_nodes}
BUNDLE = {bundle!r}  # of one node


@ray.remote(num_cpus=0)
def meeting_place():
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{{ray.util.get_node_ip_address()}}:{{free.getsockname()[1]}}"


@ray.remote(max_retries={MOST_STARTS})  # of a node that is lost; the run goes on from its checkpoint
def start(meeting):
    flags = ["--nnodes", str(NODES), "--rdzv-backend", "c10d", "--rdzv-endpoint", meeting, "--rdzv-id", "sft"]
    return subprocess.run(["bash", "{START}", *flags], check=False).returncode


def on(group, node):
    return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=node)


ray.init()
group = placement_group([BUNDLE] * NODES, strategy="STRICT_SPREAD" if NODES > 1 else "PACK")
ray.get(group.ready())
meeting = ray.get(meeting_place.options(scheduling_strategy=on(group, 0)).remote())
options = {{"num_cpus": BUNDLE["CPU"], "num_gpus": BUNDLE.get("GPU", 0), "memory": BUNDLE.get("memory", 0)}}
tasks = [start.options(scheduling_strategy=on(group, node), **options).remote(meeting) for node in range(NODES)]
sys.exit(max(ray.get(tasks)))
'''
