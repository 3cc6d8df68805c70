"""What `launch --on` does: the plan as a job of another place, followed here, with its result brought back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.language import tr
from advisor.commands.following import PlainLog, new_run_dir
from advisor.commands.output import remark, write_text
from trainers.foreign.text import comment

if TYPE_CHECKING:
    from trainers.plan import TrainingPlan
    from trainers.remote.place import Job, Place


def launch_elsewhere(plan: TrainingPlan, on: str, *, run_dir: Path | None, dry_run: bool) -> int:
    """Pack the plan, send it, follow it, bring the run to `run_dir`. Return how it ended, one of exit_codes.

    Raises EnvironmentLacking when a command of the place fails.
    """
    from trainers.remote import carry

    run_dir = run_dir or new_run_dir(plan)
    if dry_run:
        return _show(plan, on, run_dir)
    place, job = carry.prepare(plan, on, run_dir)
    code = _followed(place, job)
    remark(tr("run folder: {folder}", folder=str(run_dir)))
    return code


def _show(plan: TrainingPlan, on: str, run_dir: Path) -> int:
    """The files and commands, in a folder that is gone afterwards."""
    import tempfile

    from trainers.remote import carry

    with tempfile.TemporaryDirectory() as scratch:
        place, job = carry.prepare(plan, on, Path(scratch) / run_dir.name)
        files = sorted(file.relative_to(job.folder).as_posix() for file in job.folder.rglob("*") if file.is_file())
        commands = [step.as_shell().replace(scratch, str(run_dir.parent)) for step in carry.steps(place, job)]
    write_text("\n".join(["# files", *map(comment, files), "# commands", *commands]))
    return 0


def _followed(place: Place, job: Job) -> int:
    """The log is passed on as it comes: the metrics that a bar would show are at the place."""
    from trainers.remote import carry

    with PlainLog(job.run_dir) as shown:
        return carry.carry_out(place, job, echo=shown.echo, say=remark)
