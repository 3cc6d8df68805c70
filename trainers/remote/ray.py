"""A Ray cluster, as a job of it: the run folder is on storage that its nodes share with this machine."""

from __future__ import annotations

import json

from trainers.amounts import mib
from trainers.errors import PlanRefused
from trainers.export.ray import DRIVER, UPLOAD_BYTES
from trainers.language import later, tr
from trainers.remote.place import Job, Place, Step, chosen_python, script


def _send(job: Job) -> tuple[Step, ...]:
    """Nothing: it travels with the submission. Raises PlanRefused for a folder that Ray does not take."""
    size_bytes = sum(file.stat().st_size for file in job.folder.rglob("*") if file.is_file())
    if size_bytes > UPLOAD_BYTES:
        raise PlanRefused(
            tr("the job has {size}, and Ray takes {most} with a job", size=mib(size_bytes), most=mib(UPLOAD_BYTES)),
            why=tr("model and data on this disk travel with it"),
            fix=tr("name the model by its hub id, and keep the dataset on the hub or below that size"),
        )
    return ()


def _submit(job: Job) -> Step:
    settings = json.dumps({"env_vars": {"RUN_DIR": str(job.run_dir), **chosen_python()}})
    submitted = 'ray job submit --no-wait --submission-id "$1" --working-dir . --runtime-env-json "$2" "${@:3}" >&2'
    flags = (*_address(job), "--", "python", DRIVER)
    return script(f'{submitted} && echo "$1"', f"{job.name}-{job.start}", settings, *flags)


def _address(job: Job) -> tuple[str, ...]:
    return (f"--address={job.where}",) if job.where else ()


def _about(job: Job, identity: str, action: str, *flags: str) -> Step:
    return Step(command=("ray", "job", action, *flags, *_address(job), identity))


def _alive(job: Job, identity: str) -> Step:
    return script('ray job status "$@" 2>&1 | grep -qE ": (PENDING|RUNNING)"', *_address(job), identity)


PLACE = Place(
    target="ray",
    where=later("the address of its dashboard, such as http://head:8265 (or RAY_ADDRESS says it)"),
    programs=("ray",),
    send=_send,
    submit=_submit,
    follow=lambda job, identity: _about(job, identity, "logs", "--log-color=false", "--follow"),
    alive=_alive,
    cancel=lambda job, identity: _about(job, identity, "stop"),
)
