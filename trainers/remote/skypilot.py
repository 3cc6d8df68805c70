"""The clouds that SkyPilot rents from, as a managed job: it finds a machine, and another when a spot one is taken.

The run is kept in a bucket; a small machine that has it mounted is started for a moment to fetch from.
"""

from __future__ import annotations

from trainers.export.skypilot import FETCH, OUT, TASK, task
from trainers.foreign.text import yaml
from trainers.language import later
from trainers.remote.place import LEFT_THERE, TOKEN_VARIABLE, Job, Place, Step, script, token


def _submit(job: Job) -> Step:
    flags = [f"--name={job.name}"]
    flags += [f"--infra={job.where}"] if job.where else []
    flags += [f"--secret={TOKEN_VARIABLE}"] if token() else []  # by its name alone
    return script(f'sky jobs launch --yes --detach-run "${{@:2}}" {TASK} >&2 && echo "$1"', job.name, *flags)


def _fetch(job: Job, identity: str) -> tuple[Step, ...]:
    cluster = f"{job.name}-fetch"
    return (
        Step(command=("sky", "launch", "--yes", f"--cluster={cluster}", FETCH)),
        Step(command=("rsync", "-a", f"--exclude={LEFT_THERE}", f"{cluster}:{OUT}/{job.name}/", f"{job.run_dir}/")),
        Step(command=("sky", "down", "--yes", cluster)),
    )


PLACE = Place(
    target="skypilot",
    where=later("a cloud, region and zone, such as aws/us-east-1"),
    programs=("sky", "rsync"),
    files=lambda job: {TASK: yaml(task(job.plan, job.name))},
    submit=_submit,
    follow=lambda job, identity: Step(command=("sky", "jobs", "logs", "--follow", "--name", identity)),
    alive=lambda job, identity: script('sky jobs queue --skip-finished | grep -qw -- "$1"', identity),
    fetch=_fetch,
    cancel=lambda job, identity: Step(command=("sky", "jobs", "cancel", "--yes", "--name", identity)),
)
