"""A container on this machine (or wherever the docker client points): the run folder is mounted and stays here."""

from __future__ import annotations

import os

from trainers.export.docker import options
from trainers.export.job import START
from trainers.export.machines import build_command, image
from trainers.language import later
from trainers.remote.place import Job, Place, Step, chosen_python, script
from trainers.run_folder import layout

INSIDE = "/run-folder"


def _send(job: Job) -> tuple[Step, ...]:
    return () if job.where else (Step(command=build_command(job.plan, ".")),)


def _submit(job: Job) -> Step:
    run = (
        "docker", "run", "--detach", "--name", job.name,
        "--user", f"{os.getuid()}:{os.getgid()}",
        "--volume", f"{job.run_dir}:{INSIDE}", "--env", f"RUN_DIR={INSIDE}",
        *(word for name, value in chosen_python().items() for word in ("--env", f"{name}={value}")),
        *options(job.plan),
        job.where or image(job.plan),
        "bash", f"{INSIDE}/{layout.JOB}/{START}",
    )  # fmt: skip
    return script('docker rm --force "$1" > /dev/null 2>&1; shift; "$@"', job.name, *run)


PLACE = Place(
    target="docker",
    where=later("an image that has what training needs, instead of the one that is built"),
    programs=("docker",),
    send=_send,
    submit=_submit,
    follow=lambda job, identity: Step(command=("docker", "logs", "--follow", identity)),
    alive=lambda job, identity: script('docker ps --quiet --filter "id=$1" | grep -q .', identity),
    cancel=lambda job, identity: Step(command=("docker", "stop", "--time=300", identity)),
)
