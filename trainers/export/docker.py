"""The plan as a container: an image from the Dockerfile beside it, and `docker run` with the folder mounted."""

from __future__ import annotations

from typing import get_args

from trainers.export.cluster import uses_gpus
from trainers.export.job import RUN_DIR, START, extras, texts
from trainers.export.machines import DOCKERFILE, build_command, dockerfile, host_gib, image, shm_gib
from trainers.export.ssh import require_one_node
from trainers.export.table import Export, Target
from trainers.foreign.text import shell_line
from trainers.method import Method
from trainers.plan import TrainingPlan

TARGET = Target(title="Docker", trains_by_itself=False, methods=get_args(Method))
INSIDE = "/job"
CACHE_VOLUME = "sft-advisor-cache"
"""Docker's own volume for what the hub sends; the next job finds it there."""


def export(plan: TrainingPlan) -> Export:
    """The job, and the Dockerfile of its image. Raises PlanRefused for a plan over several nodes."""
    require_one_node(plan, TARGET.title)
    build = shell_line(build_command(plan, "."))
    return Export(
        files={**texts(plan), DOCKERFILE: dockerfile(extras=extras(plan))},
        command=f'{build} && docker run --rm -v "$PWD:{INSIDE}" {shell_line(options(plan))} {image(plan)}',
        notes=(f"the result is in {RUN_DIR}/result; HF_TOKEN is taken from your environment when it is set",),
    )


def options(plan: TrainingPlan) -> tuple[str, ...]:
    """What `docker run` is told of the plan: cards, memory, shared memory, cache; a secret by its name alone."""
    gpus = _gpus(plan) if uses_gpus(plan) else []
    gib = host_gib(plan)
    memory = [f"--memory={gib}g"] if gib else []
    return (
        *gpus,
        *memory,
        f"--shm-size={shm_gib(plan)}g",
        "--volume",
        f"{CACHE_VOLUME}:/cache",
        "--env",
        "HF_HOME=/cache",
        "--env",
        "HF_TOKEN",
    )


def start_command() -> tuple[str, ...]:
    """What the container runs."""
    return ("bash", f"{INSIDE}/{START}")


def _gpus(plan: TrainingPlan) -> list[str]:
    if plan.accelerator == "rocm":
        return ["--device=/dev/kfd", "--device=/dev/dri", "--group-add=video"]
    chosen = ",".join(plan.device_uuids)
    return [f'--gpus="device={chosen}"' if chosen else f"--gpus={plan.num_gpus}"]
