"""The plan as a TrainJob of Kubeflow Trainer 2 on Kubernetes: `kubectl apply -f plan.yaml -f job.yaml`."""

from __future__ import annotations

from typing import Any, get_args

from trainers.export.cluster import (
    GRACE_SECONDS,
    SHUTDOWN_SECONDS,
    per_node,
    plan_file,
    training,
    uses_gpus,
    variables,
)
from trainers.export.machines import WHEEL_NOTE, dockerfile, host_gib, image
from trainers.export.table import Export, Target
from trainers.foreign.text import yaml
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.python import RUN_MODULE
from trainers.run_folder import layout

TARGET = Target(
    title="Kubernetes",
    trains_by_itself=False,
    methods=get_args(Method),
)
JOB, CONFIG_MAP = "job.yaml", "plan.yaml"
DOCKERFILE = "Dockerfile"


def export(plan: TrainingPlan) -> Export:
    """`job.yaml`, and `plan.yaml` with the plan as a ConfigMap. The controller sets torchrun's PET_* variables."""
    return Export(
        files={JOB: yaml(_job(plan)), CONFIG_MAP: yaml(_config_map(plan)), DOCKERFILE: dockerfile()},
        command=f"kubectl apply -f {CONFIG_MAP} -f {JOB}",
        notes=(
            f"build the image, and bring it where your cluster pulls from: docker build -t {image()} .",
            WHEEL_NOTE,
            "the claim sft-out has to be writable from all nodes (ReadWriteMany) when there are several",
        ),
    )


def _config_map(plan: TrainingPlan) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sft-plan"}, "data": plan_file(plan)}


def _job(plan: TrainingPlan) -> dict[str, Any]:
    command = f"{RUN_MODULE} trainers.training.torchrun -m {training(f'/plan/{layout.PLAN}', '/out/run')}"
    settings = {**variables(plan), "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS)}
    trainer: dict[str, Any] = {
        "image": image(),
        "numNodes": plan.num_nodes,
        "numProcPerNode": per_node(plan),
        "command": command.split(),
        "env": [{"name": name, "value": value} for name, value in settings.items()],
    }
    if resources := _resources(plan):
        trainer["resourcesPerNode"] = resources
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "sft"},
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": "ClusterTrainingRuntime",
                "name": "torch-distributed",
            },
            "trainer": trainer,
            "runtimePatches": [{"manager": "sft-advisor.dev/plan", "trainingRuntimeSpec": _volumes()}],
        },
    }


def _resources(plan: TrainingPlan) -> dict[str, Any]:
    """Of one node: its GPUs, and the host memory that was predicted."""
    gib = host_gib(plan)
    limits = {"nvidia.com/gpu": per_node(plan)} if uses_gpus(plan) else {}
    requests = {"memory": f"{gib}Gi"} if gib else {}
    return {name: amounts for name, amounts in (("limits", limits), ("requests", requests)) if amounts}


def _volumes() -> dict[str, Any]:
    pod = {
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "volumes": [
            {"name": "out", "persistentVolumeClaim": {"claimName": "sft-out"}},
            {"name": "plan", "configMap": {"name": "sft-plan"}},
        ],
        "containers": [
            {
                "name": "node",
                "volumeMounts": [{"name": "out", "mountPath": "/out"}, {"name": "plan", "mountPath": "/plan"}],
            }
        ],
    }
    return {
        "template": {
            "spec": {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": {"spec": pod}}}}]}
        }
    }
