"""The plan on Kubernetes: a claim with the job in it, and a TrainJob, a PyTorchJob or a plain Job that starts it.

trainjob.yaml is for Kubeflow Trainer 2, pytorchjob.yaml for the training operator before it, batch.yaml for a
cluster with neither, where one node is enough. All mount the claim, so that a pod that starts anew goes on.
"""

from __future__ import annotations

from typing import Any, get_args

from trainers.export.cluster import FINAL_CODES, GRACE_SECONDS, SHUTDOWN_SECONDS, per_node, uses_gpus
from trainers.export.job import START, extras, texts
from trainers.export.machines import (
    DOCKERFILE,
    DOCKERIGNORE,
    dockerfile,
    dockerignore,
    host_gib,
    hours,
    shm_gib,
)
from trainers.export.table import Export, Target
from trainers.foreign.text import yaml
from trainers.method import Method
from trainers.plan import TrainingPlan

TARGET = Target(
    title="Kubernetes",
    trains_by_itself=False,
    methods=get_args(Method),
)
TRAIN_JOB, PYTORCH_JOB, BATCH_JOB = "trainjob.yaml", "pytorchjob.yaml", "batch.yaml"
CLAIM, FILES = "claim.yaml", "files.yaml"
CLAIM_NAME, FILES_POD, SECRET, SECRET_KEY = "sft-out", "sft-files", "sft-hf-token", "token"
OUT = "/out"
"""Where the claim is mounted: a folder a job, the hub's cache, and the environment that the first job makes."""
NAME = "sft"
IMAGE = "python:3.12"
"""Has a compiler, which triton needs. What training needs goes into the claim, once."""
CLAIM_SIZE = "200Gi"
CORES_PER_GPU = 2
"""Asked for at least; small nodes have four."""
MOST_STARTS = 20


def export(plan: TrainingPlan) -> Export:
    """The manifests and the job."""
    files = manifests(plan, NAME)
    kinds = [name for name in files if name not in (CLAIM, FILES)]
    copy = f"tar -cf - . | kubectl exec -i {FILES_POD} -- tar -C {OUT}/{NAME} -xf -"
    ready = f"kubectl wait --for=condition=Ready pod/{FILES_POD} --timeout=300s"
    return Export(
        files={**files, **texts(plan), DOCKERFILE: dockerfile(extras=extras(plan)), DOCKERIGNORE: dockerignore()},
        command=f"kubectl apply -f {CLAIM} -f {FILES} && {ready} && "
        f"kubectl exec {FILES_POD} -- mkdir -p {OUT}/{NAME} && {copy} && kubectl apply -f {kinds[0]}",
        notes=(
            f"{' or '.join(kinds)}: with Kubeflow Trainer 2, with the training operator before it, or with neither",
            f"HF_TOKEN comes from the secret {SECRET}, when there is one: "
            f"kubectl create secret generic {SECRET} --from-literal={SECRET_KEY}=...",
            f"an image of your own (docker build) in place of {IMAGE} saves the installation into the claim",
            "the claim has to be writable from all nodes (ReadWriteMany) when there are several",
        ),
    )


def manifests(plan: TrainingPlan, name: str, image: str = IMAGE) -> dict[str, str]:
    """File -> manifest: each kind of job that can start the folder `name` of the claim, and the claim."""
    pod = _pod(plan, name, image)
    kinds = {TRAIN_JOB: _train_job(plan, name, image), PYTORCH_JOB: _pytorch_job(plan, name, pod)}
    if plan.num_nodes == 1:
        kinds[BATCH_JOB] = _batch_job(plan, name, pod)
    others = {CLAIM: _claim(plan), FILES: _files_pod()}
    return {file: yaml(manifest) for file, manifest in (kinds | others).items()}


def _train_job(plan: TrainingPlan, name: str, image: str) -> dict[str, Any]:
    """Of Trainer 2, whose controller sets torchrun's PET_* variables. Its pods are patched, never written whole."""
    pod = _pod(plan, name, image)
    patch = {
        "terminationGracePeriodSeconds": pod["terminationGracePeriodSeconds"],
        "volumes": pod["volumes"],
        "containers": [{"name": "node", "volumeMounts": pod["containers"][0]["volumeMounts"]}],
    }
    template = {"spec": {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": {"spec": patch}}}}]}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": "ClusterTrainingRuntime",
                "name": "torch-distributed",
            },
            "trainer": {
                "image": image,
                "numNodes": plan.num_nodes,
                "numProcPerNode": per_node(plan),
                "command": pod["containers"][0]["command"],
                "env": _variables(),
                "resourcesPerNode": _resources(plan),
            },
            "runtimePatches": [{"manager": "sft-advisor.dev/plan", "trainingRuntimeSpec": {"template": template}}],
        },
    }


def _pytorch_job(plan: TrainingPlan, name: str, pod: dict[str, Any]) -> dict[str, Any]:
    """Of the training operator (kubeflow.org/v1), which sets torchrun's PET_* variables too."""
    container = {**pod["containers"][0], "name": "pytorch"}
    replica = {"restartPolicy": "OnFailure", "template": {"spec": {**pod, "containers": [container]}}}
    workers = {"Worker": {"replicas": plan.num_nodes - 1, **replica}} if plan.num_nodes > 1 else {}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name},
        "spec": {
            "nprocPerNode": str(per_node(plan)),
            "runPolicy": {"backoffLimit": MOST_STARTS, "cleanPodPolicy": "None"},
            "pytorchReplicaSpecs": {"Master": {"replicas": 1, **replica}, **workers},
        },
    }


def _batch_job(plan: TrainingPlan, name: str, pod: dict[str, Any]) -> dict[str, Any]:
    """A plain Job: started anew when it is evicted or stopped, and not when starting anew changes nothing."""
    final = [code for code in FINAL_CODES if code]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": MOST_STARTS,
            "activeDeadlineSeconds": hours(plan) * 3600,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "node", "operator": "In", "values": final},
                    },
                ]
            },
            "template": {"spec": {**pod, "restartPolicy": "Never"}},
        },
    }


def _pod(plan: TrainingPlan, name: str, image: str) -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "volumes": [
            {"name": "out", "persistentVolumeClaim": {"claimName": CLAIM_NAME}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_gib(plan)}Gi"}},
        ],
        "containers": [
            {
                "name": "node",
                "image": image,
                "command": ["bash", f"{OUT}/{name}/{START}"],
                "env": _variables(),
                "resources": _resources(plan),
                "volumeMounts": [{"name": "out", "mountPath": OUT}, {"name": "shm", "mountPath": "/dev/shm"}],
            }
        ],
    }


def _variables() -> list[dict[str, Any]]:
    """Cache and environment are on the claim, where the next start finds them; the token is a secret."""
    settings = {
        "HF_HOME": f"{OUT}/cache",
        "SFT_ADVISOR_ENVIRONMENT": f"{OUT}/environment",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
    }
    token = {"name": SECRET, "key": SECRET_KEY, "optional": True}
    return [
        *({"name": name, "value": value} for name, value in settings.items()),
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": token}},
    ]


def _resources(plan: TrainingPlan) -> dict[str, Any]:
    """Of one node: its GPUs, cores, and the host memory that was predicted."""
    gib = host_gib(plan)
    maker = "amd.com/gpu" if plan.accelerator == "rocm" else "nvidia.com/gpu"
    cores = per_node(plan) * (CORES_PER_GPU if uses_gpus(plan) else 1)
    limits = {"limits": {maker: per_node(plan)}} if uses_gpus(plan) else {}
    return {"requests": {"cpu": str(cores), **({"memory": f"{gib}Gi"} if gib else {})}, **limits}


def _claim(plan: TrainingPlan) -> dict[str, Any]:
    mode = "ReadWriteMany" if plan.num_nodes > 1 else "ReadWriteOnce"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM_NAME},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": CLAIM_SIZE}}},
    }


def _files_pod() -> dict[str, Any]:
    """A pod that does nothing and has the claim: files go in and out through it."""
    container = {
        "name": "files",
        "image": IMAGE,
        "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "out", "mountPath": OUT}],
    }
    volume = {"name": "out", "persistentVolumeClaim": {"claimName": CLAIM_NAME}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": FILES_POD},
        "spec": {"containers": [container], "volumes": [volume], "restartPolicy": "Never"},
    }
