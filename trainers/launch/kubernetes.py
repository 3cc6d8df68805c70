"""The plan as a TrainJob of Kubeflow Trainer 2 on Kubernetes: `kubectl apply -f plan.yaml -f job.yaml`."""

from __future__ import annotations

from typing import Any

from trainers.export.table import Export, as_yaml
from trainers.launch.cluster import (
    GRACE_SECONDS,
    SHUTDOWN_SECONDS,
    per_node,
    plan_file,
    training,
    uses_gpus,
    variables,
)
from trainers.launch.local import PLAN_FILE
from trainers.plan import TrainingPlan

JOB, CONFIG_MAP = "job.yaml", "plan.yaml"
IMAGE = "IMAGE"
"""Placeholder: an image with `sft-advisor[train]` in it."""


def export(plan: TrainingPlan) -> Export:
    """`job.yaml`, and `plan.yaml` with the plan as a ConfigMap. The controller sets torchrun's PET_* variables."""
    return Export(
        files={JOB: as_yaml(_job(plan)), CONFIG_MAP: as_yaml(_config_map(plan))},
        command=f"kubectl apply -f {CONFIG_MAP} -f {JOB}",
        notes=(
            f"put your image in place of {IMAGE}",
            "the claim sft-out has to be writable from all nodes (ReadWriteMany) when there are several",
        ),
    )


def _config_map(plan: TrainingPlan) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sft-plan"}, "data": plan_file(plan)}


def _job(plan: TrainingPlan) -> dict[str, Any]:
    command = f"python -m trainers.launch.torchrun -m {training(f'/plan/{PLAN_FILE}', '/out/run')}"
    settings = {**variables(plan), "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS)}
    trainer: dict[str, Any] = {
        "image": IMAGE,
        "numNodes": plan.num_nodes,
        "numProcPerNode": per_node(plan),
        "command": command.split(),
        "env": [{"name": name, "value": value} for name, value in settings.items()],
    }
    if uses_gpus(plan):
        trainer["resourcesPerNode"] = {"limits": {"nvidia.com/gpu": per_node(plan)}}
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
