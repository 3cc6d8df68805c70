"""Judge exported jobs by the systems' own loaders: `python -m tests.soak.validate_jobs`, where they are installed.

kubernetes-validate (the schemas of Kubernetes), kubeflow-trainer-api (the models of Trainer 2), skypilot (its task
loader), modal (its own decorators, which build the app without an account) and shellcheck; what is not installed is
skipped. Nothing is submitted. Prints one line a document and ends with 1 when one is refused.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.trainers.plans import full_plan, lora_plan
from trainers.export import TARGETS, describe, export
from trainers.export.wheel import wheel_name
from trainers.plan import MadeFor, TrainingPlan

GIB = 1024**3


def plans() -> dict[str, TrainingPlan]:
    """A job of each size that the systems tell apart."""
    h100 = MadeFor(gpu="NVIDIA H100 80GB HBM3", gpus_per_node=8, host_bytes=100 * GIB, high_hours=9.0)
    gpus: dict[str, Any] = {"accelerator": "cuda", "sharding": "fsdp", "made_for": h100}
    return {
        "a CPU": lora_plan(),
        "one node": full_plan(**gpus, num_gpus=8),
        "two nodes": full_plan(**gpus, num_gpus=16, num_nodes=2),
    }


def kubernetes(folder: Path) -> None:
    import kubernetes_validate
    import yaml

    for name in ("batch.yaml", "claim.yaml", "files.yaml"):
        if (folder / name).is_file():
            kubernetes_validate.validate(yaml.safe_load((folder / name).read_text()), "1.31", strict=True)


def kubeflow(folder: Path) -> None:
    """Their models take unknown keys and drop them: what comes back has to be what went in."""
    import yaml
    from kubeflow_trainer_api.models import IoK8sApiCoreV1PodTemplateSpec, TrainerV1alpha1TrainJob

    job = yaml.safe_load((folder / "trainjob.yaml").read_text())
    read = TrainerV1alpha1TrainJob.from_dict(job)
    assert read is not None and read.to_dict() == job, "a key of the TrainJob is unknown"
    replicas = yaml.safe_load((folder / "pytorchjob.yaml").read_text())["spec"]["pytorchReplicaSpecs"]
    for replica in replicas.values():
        pod = IoK8sApiCoreV1PodTemplateSpec.from_dict(replica["template"])
        assert pod is not None and pod.to_dict() == replica["template"], "a key of a pod is unknown"


def skypilot(folder: Path) -> None:
    import sky

    for name in ("task.yaml", "fetch.yaml"):
        sky.Task.from_yaml(str(folder / name))


def modal(folder: Path) -> None:
    """The program is run up to its entry point, which needs an account."""
    for name in ("constraints.txt", wheel_name()):
        (folder / name).touch()
    subprocess.run([sys.executable, "modal_job.py"], cwd=folder, check=True, capture_output=True)


def shellcheck(folder: Path) -> None:
    """All scripts; SC2016: what srun starts is expanded on the node, and that is meant."""
    scripts = sorted(file.name for file in folder.glob("*.sh"))
    subprocess.run(["shellcheck", "--exclude=SC2016", *scripts], cwd=folder, check=True, capture_output=True)


class Judge(NamedTuple):
    """What judges the files of some targets."""

    targets: tuple[str, ...]
    needs: str
    """A module, or a program on PATH."""
    judge: Callable[[Path], None]


JOBS = tuple(target for target in TARGETS if describe(target).is_job)
JUDGES = {
    "kubernetes-validate": Judge(("kubernetes",), "kubernetes_validate", kubernetes),
    "kubeflow-trainer-api": Judge(("kubernetes",), "kubeflow_trainer_api", kubeflow),
    "skypilot": Judge(("skypilot",), "sky", skypilot),
    "modal": Judge(("modal",), "modal", modal),
    "shellcheck": Judge(JOBS, "shellcheck", shellcheck),
}


def is_there(name: str) -> bool:
    return shutil.which(name) is not None or importlib.util.find_spec(name) is not None


def refusal(judge: Judge, plan: TrainingPlan, target: str) -> str:
    """What the judge says against the files of a target; "" for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in export(plan, target).files.items():
            (Path(folder) / file).write_text(content, encoding="utf-8")
        try:
            judge.judge(Path(folder))
        except subprocess.CalledProcessError as error:
            return (error.stdout + error.stderr).decode()[-600:]
        except Exception as error:  # noqa: BLE001  whatever a validator raises is its verdict
            return f"{type(error).__name__}: {error}"[:600]
    return ""


def main() -> int:
    """0 when every judge that is here takes every job."""
    os.environ["SKYPILOT_DISABLE_USAGE_COLLECTION"] = "1"
    refused = 0
    for name, judge in JUDGES.items():
        if not is_there(judge.needs):
            print(f"skipped  {name:20} is not installed here")
            continue
        for target in judge.targets:
            for kind, plan in plans().items():
                if plan.num_nodes > 1 and target not in ("slurm", "kubernetes", "skypilot", "ray"):
                    continue
                said = refusal(judge, plan, target)
                refused += bool(said)
                print(f"{'refused' if said else 'ok':8} {name:20} {target}, {kind} {said}")
    return bool(refused)


if __name__ == "__main__":
    sys.exit(main())
