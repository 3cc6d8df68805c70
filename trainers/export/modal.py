"""The plan as a Modal app: `modal run --detach modal_job.py`; the run is kept in a volume of the workspace."""

from __future__ import annotations

from typing import get_args

from trainers.export.cluster import per_node, uses_gpus
from trainers.export.job import RUN_DIR, START, extras, texts
from trainers.export.machines import host_gib, hours, modal_card, torch_index
from trainers.export.ssh import require_one_node
from trainers.export.table import Export, Target
from trainers.export.wheel import CONSTRAINTS, wheel_name
from trainers.method import Method
from trainers.plan import TrainingPlan

TARGET = Target(title="Modal", trains_by_itself=False, methods=get_args(Method))
PROGRAM = "modal_job.py"
VOLUME = "sft-runs"
CACHE_VOLUME = "sft-advisor-cache"
OUT = "/out"
LONGEST_SECONDS = 24 * 3600
"""Of one start of a function; a retry goes on from the checkpoint."""
MOST_RETRIES = 10


def export(plan: TrainingPlan) -> Export:
    """The app and the job. Raises PlanRefused for a plan over several nodes."""
    require_one_node(plan, TARGET.title)
    return Export(
        files={PROGRAM: program(plan, RUN_DIR), **texts(plan)},
        command=f"modal run --detach {PROGRAM}",
        notes=(
            f"the run is kept in the volume {VOLUME}; to fetch it: modal volume get {VOLUME} {RUN_DIR} .",
            "HF_TOKEN is taken from your environment when it is set",
        ),
    )


def program(plan: TrainingPlan, name: str) -> str:
    """The app, whose run is kept under `name` in the volume."""
    gib = host_gib(plan)
    wanted = {
        **({"gpu": f"{modal_card(plan)}:{per_node(plan)}"} if uses_gpus(plan) else {}),
        **({"memory": gib * 1024} if gib else {}),
        "timeout": min(hours(plan) * 3600, LONGEST_SECONDS),
        "retries": MOST_RETRIES,
    }
    said = "".join(f"    {key}={value!r},\n" for key, value in wanted.items())
    wheel = wheel_name()
    return f'''"""modal run --detach {PROGRAM}: a second start goes on where the first was stopped."""

import os
import subprocess

import modal

app = modal.App("sft")
image = (
    modal.Image.debian_slim(python_version="3.12")
    .apt_install("gcc", "libc6-dev")
    .add_local_file("{wheel}", "/build/{wheel}", copy=True)
    .add_local_file("{CONSTRAINTS.name}", "/build/{CONSTRAINTS.name}", copy=True)
    .run_commands(
        "pip install --extra-index-url {torch_index(plan.accelerator)}"
        " -c /build/{CONSTRAINTS.name} '/build/{wheel}{extras(plan)}'"
    )
    .env({{"PYTHON": "python", "HF_HOME": "/cache", "RUN_DIR": "{OUT}/{name}"}})
    .add_local_dir(".", "/job", ignore=["*.whl"])
)
runs = modal.Volume.from_name("{VOLUME}", create_if_missing=True)
cache = modal.Volume.from_name("{CACHE_VOLUME}", create_if_missing=True)


@app.function(
    image=image,
    volumes={{"{OUT}": runs, "/cache": cache}},
    secrets=[modal.Secret.from_dict({{"HF_TOKEN": os.environ.get("HF_TOKEN", "")}})],
{said})
def train():
    code = subprocess.run(["bash", "/job/{START}"], check=False).returncode
    runs.commit()
    if code:
        raise SystemExit(code)


@app.local_entrypoint()
def main():
    train.remote()
'''
