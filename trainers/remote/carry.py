"""A job carried out elsewhere: packed, sent, started, followed, brought back; started again when it was preempted.

RUN/job/            the job folder as it was sent
RUN/submitted.json  where it is, and under which id: the same call follows it again, from another terminal too
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from trainers import exit_codes
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.export import write
from trainers.foreign.files import json_object
from trainers.foreign.text import shell_line
from trainers.language import tr
from trainers.plan import TrainingPlan, load_plan
from trainers.remote import place_of
from trainers.remote.place import Job, Place, Step, name_of
from trainers.run_folder import layout
from trainers.run_folder.metrics import read_metrics
from trainers.writing import write_atomically

Echo = Callable[[bytes], object]
Say = Callable[[str], object]
MOST_STARTS = 20
FRUITLESS_STARTS = 3
"""Starts in a row that bring no new step; after these another changes nothing."""
ASK_AGAIN_SECONDS = 5.0
KILLED = 128


def split_place(text: str) -> tuple[str, str]:
    """The place and what stands after the colon, of `ssh:me@host`. Raises PlanRefused when it cannot be used."""
    name, _, where = text.partition(":")
    place = place_of(name)
    if place.needs_where and not where:
        raise PlanRefused(
            tr("{name} needs to know where", name=name),
            fix=tr("--on {name}:WHERE, which is {where}", name=name, where=tr(place.where)),
        )
    if where and not place.where:
        raise PlanRefused(tr("{name} takes nothing after a colon", name=name), fix=f"--on {name}")
    if where.startswith("-") or any(mark.isspace() for mark in where):
        what = tr("{given!r} cannot be {where}", given=where, where=tr(place.where))
        raise PlanRefused(what, fix=f"--on {name}:WHERE")
    return name, where


def prepare(plan: TrainingPlan, on: str, run_dir: Path) -> tuple[Place, Job]:
    """The place and the packed job. A job that was packed before is taken as it is.

    Raises PlanRefused for a place or plan that cannot be used, ExamplesError when the data is not there.
    """
    name, where = split_place(on)
    place, run_dir = place_of(name), run_dir.absolute()
    folder = run_dir / layout.JOB
    if not (folder / layout.PLAN).is_file():
        write(plan.anchored(), place.target, folder)
    job = Job(
        name=name_of(run_dir), folder=folder, run_dir=run_dir, plan=load_plan(folder / layout.PLAN), where=where
    )
    for file, content in place.files(job).items():
        write_atomically(folder / file, content.encode())
    return place, job


def steps(place: Place, job: Job) -> list[Step]:
    """Every command of a job's life, for a dry run; ID is what the place will call it."""
    return [*place.send(job), place.submit(job), place.follow(job, "ID"), *place.fetch(job, "ID")]


def carry_out(place: Place, job: Job, *, echo: Echo, say: Say, ask_again_seconds: float = ASK_AGAIN_SECONDS) -> int:
    """Send, start and follow the job until its run is over and here. Return how it ended, one of exit_codes.

    A job that is there already is only followed. Raises EnvironmentLacking when a command of the place fails.
    """
    require_programs(place)
    identity, job = _find(job)
    if not identity:
        for step in place.send(job):
            _run(step, job)
        identity = _submit(place, job, say)
    fruitless, reached = 0, _steps_done(job)
    while True:
        try:
            _follow(place, job, identity, echo, say, ask_again_seconds)
        except KeyboardInterrupt:
            say(
                tr(
                    "{identity} goes on; the same command follows it again; to stop it: {command}",
                    identity=identity,
                    command=place.cancel(job, identity).as_shell(),
                )
            )
            return exit_codes.INTERRUPTED
        for step in place.fetch(job, identity):
            _run(step, job)
        code = ended(job)
        if code is not None and not _was_stopped(code):
            (job.run_dir / layout.SUBMITTED).unlink(missing_ok=True)
            return code
        fruitless, reached = (0, now) if (now := _steps_done(job)) > reached else (fruitless + 1, reached)
        if job.start >= MOST_STARTS or fruitless >= FRUITLESS_STARTS:
            said = tr("it was stopped {times} times, the last {fruitless} without a new step: not started again")
            say(said.format(times=job.start, fruitless=fruitless))
            return exit_codes.STOPPED
        say(tr("it was stopped at step {step}; it is started again and goes on from its checkpoint", step=reached))
        job = msgspec.structs.replace(job, start=job.start + 1)
        identity = _submit(place, job, say)


def _was_stopped(code: int) -> bool:
    """Asked to stop, or ended by a signal: 128 and its number, as a shell says it."""
    return code == exit_codes.STOPPED or code > KILLED


def require_programs(place: Place) -> None:
    """Raise EnvironmentLacking when something that the place is spoken to with is not installed here."""
    missing = [program for program in place.programs if shutil.which(program) is None]
    if missing:
        raise EnvironmentLacking(
            tr("{programs} is not installed on this machine", programs=", ".join(missing)),
            why=tr("{place} is spoken to with it", place=place.target),
            fix=tr("install it, or carry the job there yourself: `sft-advisor export` writes it into a folder"),
        )


def ended(job: Job) -> int | None:
    """The exit code that the job left in its run folder; None when it was killed before it could leave one."""
    try:
        return int((job.run_dir / layout.EXIT_CODE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _find(job: Job) -> tuple[str, Job]:
    """The id of the job when it is there already, and the job as it was started last."""
    known = json_object(job.run_dir / layout.SUBMITTED) or {}
    identity, start = known.get("id"), known.get("start")
    if not isinstance(identity, str) or not isinstance(start, int):
        return "", job
    return identity, msgspec.structs.replace(job, start=start)


def _submit(place: Place, job: Job, say: Say) -> str:
    (job.run_dir / layout.EXIT_CODE).unlink(missing_ok=True)
    printed = _run(place.submit(job), job).split()
    if not printed:
        what = tr("{place} did not say what it calls the job", place=place.target)
        raise EnvironmentLacking(what, why=tr("it printed nothing"))
    identity = printed[-1]
    known = {"place": place.target, "where": job.where, "id": identity, "start": job.start}
    write_atomically(job.run_dir / layout.SUBMITTED, msgspec.json.format(msgspec.json.encode(known)))
    say(tr("{place} has the job as {identity}", place=place.target, identity=identity))
    return identity


def _follow(place: Place, job: Job, identity: str, echo: Echo, say: Say, ask_again_seconds: float) -> None:
    """Show the log until the job is over; where the connection is lost, from the place where it was lost."""
    shown, told = 0, False
    while True:
        shown = _show(place.follow(job, identity), job, echo, shown)
        asked = _start(place.alive(job, identity), job, stderr=subprocess.DEVNULL)
        asked.communicate()
        if asked.returncode == place.unreachable and not told:
            said = tr("{place} cannot be reached; the job goes on there, and is asked for again until it answers")
            say(said.format(place=place.target))
        told = asked.returncode == place.unreachable
        if asked.returncode not in (0, place.unreachable):
            return
        time.sleep(ask_again_seconds)


def _show(step: Step, job: Job, echo: Echo, already: int) -> int:
    """Pass on what the command prints, without the bytes that were shown. Return how many are shown now."""
    process = _start(step, job, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    seen = 0
    try:
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            if new := piece[max(0, already - seen) :]:
                echo(new)
            seen += len(piece)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()
    return max(already, seen)


def _run(step: Step, job: Job) -> str:
    """What a command printed. Raises EnvironmentLacking with its own words when it fails."""
    process = _start(step, job, stderr=subprocess.PIPE)
    out, errors = process.communicate((step.stdin or "").encode())
    if process.returncode:
        words = errors.decode(errors="replace").strip().splitlines()[-5:]
        raise EnvironmentLacking(
            tr(
                "a command ended with {code}: {command}",
                code=process.returncode,
                command=shell_line(step.command)[:300],
            ),
            why=" / ".join(words) or tr("it said nothing"),
            fix=tr("mend what it says and start the same command again; the job is in {folder}", folder=job.folder),
        )
    return out.decode(errors="replace")


def _start(step: Step, job: Job, *, stderr: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        step.command,
        cwd=job.folder,
        env={**os.environ, **step.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def _steps_done(job: Job) -> int:
    return max((int(line["step"]) for line in read_metrics(job.run_dir) if "step" in line), default=0)
