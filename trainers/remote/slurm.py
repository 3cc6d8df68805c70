"""SLURM, from a machine that submits to it: the run folder is on the storage that its nodes share."""

from __future__ import annotations

from trainers.export.slurm import SCRIPT
from trainers.language import later
from trainers.remote.place import Job, Place, Step, chosen_python, script

_LISTED = 'squeue --noheader --jobs="$1" --format=%T 2> /dev/null | grep -q .'


def _submit(job: Job) -> Step:
    partition = (f"--partition={job.where}",) if job.where else ()
    return Step(
        command=("sbatch", "--parsable", f"--job-name={job.name}", *partition, SCRIPT),
        environment={"RUN_DIR": str(job.run_dir), **chosen_python()},
    )


def _follow(job: Job, identity: str) -> Step:
    """The job requeues by itself; it is over when the queue no longer lists it."""
    watched = f'(while {_LISTED}; do sleep 2; done) & tail -n +1 -F --pid=$! "slurm-$1.log" 2> /dev/null'
    return script(watched, _number(identity))


def _number(identity: str) -> str:
    return identity.partition(";")[0]  # what follows is the cluster, where there are several


PLACE = Place(
    target="slurm",
    where=later("a partition"),
    programs=("sbatch", "squeue"),
    submit=_submit,
    follow=_follow,
    alive=lambda job, identity: script(_LISTED, _number(identity)),
    cancel=lambda job, identity: Step(command=("scancel", _number(identity))),
)
