"""Before the run: is everything there, and does the longest batch really fit?

    python -m trainers.supervision.preflight PLAN

Three stages, each cheaper than finding out later: what can be read off the plan and the disk; then, in the training
process, torch, driver and bitsandbytes against each other, and two real steps of the longest batch, an evaluation and
a save, through the very code of the run. The result is preflight.json in the run folder. A process that passed can go
on and train (`goes_on`), so that a start pays once for imports and loading.
No torch in this file: what runs inside the training process is in trainers.training.environment and longest_batch.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.plan import TrainingPlan, load_plan, save_plan
from trainers.run_folder import layout
from trainers.run_folder.failures import explained
from trainers.run_folder.lock import hold
from trainers.run_folder.record import read_record
from trainers.supervision import child
from trainers.supervision.backoff import next_step, what_is_left
from trainers.supervision.checks import Check, Measured, memory_check, quick_checks, room_for_checkpoints
from trainers.supervision.command import prepare
from trainers.writing import write_atomically

SCRATCH = ".preflight"
"""Folder inside the run folder for the checkpoint that is only measured."""
ENVIRONMENT_SECONDS = 120
Outcome = Literal["ready", "ready_with_warnings", "does_not_fit", "blocked"]


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one plan."""

    schema: Literal["sft-advisor/preflight/v1"] = "sft-advisor/preflight/v1"
    """Name and version of this document."""
    outcome: Outcome
    """ready, ready_with_warnings, does_not_fit (exit 3) or blocked."""
    checks: tuple[Check, ...]
    """Everything that was looked at."""
    predicted_peak_bytes: int | None
    """What the plan predicts; null where it says nothing."""
    measured: Measured | None = None
    """What the longest batch took; null when it did not come to that."""
    measured_over_predicted: float | None = None
    """Measured peak as a multiple of the predicted one."""
    exit_code: int = exit_codes.DONE
    """What the trial ended with."""
    advice: str = ""
    """What to change when it does not fit, as a sentence."""

    @property
    def figures(self) -> list[str]:
        """What was measured, as phrases; none when it did not come to that."""
        if self.measured is None:
            return []
        memory = [check.said for check in self.checks if check.name == "memory"]
        ratio = (
            [
                tr(
                    "{measured_over_predicted:.2f} of the prediction",
                    measured_over_predicted=self.measured_over_predicted,
                )
            ]
            if self.measured_over_predicted
            else []
        )
        step = tr("a step of the longest batch took {step_seconds:.2f} s", step_seconds=self.measured.step_seconds)
        return [
            *memory,
            *ratio,
            tr("{step}, {total_steps:,} are to be made", step=step, total_steps=self.measured.total_steps),
            *self.proofs,
        ]

    @property
    def proofs(self) -> list[str]:
        """What was shown of the model beside its size and speed, as phrases."""
        return _proofs(self.measured) if self.measured is not None else []

    @property
    def said(self) -> str:
        """The verdict as one line."""
        failed = [check.said for check in self.checks if check.passed is False]
        advice = [self.advice] if self.advice else []
        return "; ".join([self.outcome.replace("_", " "), *failed, *advice, *self.figures])


def _proofs(measured: Measured) -> list[str]:
    said = []
    if measured.packed_weights_equal is not None:
        said.append(tr("{count} split 4-bit weights came back bit for bit", count=measured.packed_weights_equal))
    if measured.packed_rows_difference is not None:
        said.append(
            tr(
                "examples that share a row were answered as each alone (difference {difference:.1g})",
                difference=measured.packed_rows_difference,
            )
        )
    return said


def preflight(plan: TrainingPlan, run_dir: Path, echo: Callable[[bytes], object] | None = None) -> Preflight:
    """Judge the plan on this machine and write preflight.json. `echo` gets what the child prints.

    Takes seconds with a small model; with a large one about as long as loading it and two steps. Raises PlanRefused
    when a training is going on in the folder.
    """
    with hold(run_dir):
        return judge_plan(plan, run_dir, echo)


def judge_plan(plan: TrainingPlan, run_dir: Path, echo: Callable[[bytes], object] | None = None) -> Preflight:
    """As `preflight`, for a caller that holds the folder. What is left behind pins no later plan."""
    run_dir = run_dir.resolve()
    return judged(plan, run_dir, lambda: _try_longest_batch(plan, run_dir, echo), goes_on=False)


def goes_on(plan: TrainingPlan) -> bool:
    """Whether the process that tried this plan's longest batch can train afterwards as if it had not.

    Shards and DeepSpeed's engine are laid out for one training, and a step inside the backward pass cannot be held.
    """
    return plan.sharding in ("none", "ddp") and not plan.optimizer_in_backward


def judged(plan: TrainingPlan, run_dir: Path, start: Callable[[], int], *, goes_on: bool) -> Preflight:
    """The verdict on a plan whose longest batch `start` tries; it returns the exit code. Writes preflight.json.

    With `goes_on` the training follows in the same process, and keeps what it has pinned.
    """
    checks = tuple(quick_checks(plan, run_dir))
    if any(check.passed is False for check in checks):
        found = _blocked(plan, exit_codes.ENVIRONMENT, checks)
        _keep(found, run_dir)
        return found
    pinned = (run_dir / layout.FINGERPRINT).exists()
    (run_dir / layout.PREFLIGHT).unlink(missing_ok=True)
    try:
        code = start()
    finally:
        shutil.rmtree(run_dir / SCRATCH, ignore_errors=True)
        passed = _passed(run_dir)
        if not pinned and not (passed and goes_on):
            (run_dir / layout.FINGERPRINT).unlink(missing_ok=True)
    if passed:
        return passed
    found = _not_passed(plan, run_dir, checks, code)
    _keep(found, run_dir)
    return found


def keep_passed(plan: TrainingPlan, run_dir: Path, environment: list[Check], measured: Measured) -> Preflight:
    """The verdict of a training process whose longest batch went through: preflight.json. Return it."""
    checks = (
        *quick_checks(plan, run_dir),
        *environment,
        memory_check(plan, measured),
        *room_for_checkpoints(plan, run_dir, measured),
    )
    warned = any(check.passed is not True for check in checks)
    ratio = measured.peak_bytes / plan.predicted_peak_bytes if plan.predicted_peak_bytes else None
    found = Preflight(
        outcome="ready_with_warnings" if warned else "ready",
        checks=checks,
        predicted_peak_bytes=plan.predicted_peak_bytes,
        measured=measured,
        measured_over_predicted=round(ratio, 3) if ratio else None,
    )
    _keep(found, run_dir)
    return found


def _try_longest_batch(plan: TrainingPlan, run_dir: Path, echo: Callable[[bytes], object] | None) -> int:
    """The training process with nothing but a preflight. Return its exit code.

    Raises KeyboardInterrupt after a Ctrl-C, when the process has ended: there is nothing to judge then.
    """
    save_plan(plan, run_dir / layout.PLAN)
    launch = prepare(plan, run_dir, resume="never", extra=("--preflight", "only"))
    signals: list[str] = []
    with (run_dir / layout.PREFLIGHT_LOG).open("wb") as log:
        process = child.spawn(launch, log=log)
        with child.signals_forwarded(process, on_signal=signals.append):
            for piece in child.follow(process, run_dir / layout.PREFLIGHT_LOG, 0):
                if echo is not None:
                    echo(piece)
    if "SIGINT" in signals:
        raise KeyboardInterrupt
    return child.exit_code(process)


def _passed(run_dir: Path) -> Preflight | None:
    """What a training process wrote whose longest batch went through."""
    try:
        return msgspec.json.decode((run_dir / layout.PREFLIGHT).read_bytes(), type=Preflight)
    except (OSError, msgspec.DecodeError):
        return None


def _keep(found: Preflight, run_dir: Path) -> None:
    write_atomically(run_dir / layout.PREFLIGHT, msgspec.json.format(msgspec.json.encode(found)))


def _not_passed(plan: TrainingPlan, run_dir: Path, checks: tuple[Check, ...], code: int) -> Preflight:
    """Why a training process ended before its longest batch was through."""
    record = read_record(run_dir / layout.RUN)
    failure = record.get("failure") or {}
    if code == exit_codes.OUT_OF_MEMORY:
        step = next_step(plan, failure.get("phase"))
        advice = step.said if step else what_is_left(plan)
        return msgspec.structs.replace(_blocked(plan, code, checks), outcome="does_not_fit", advice=advice)
    if record.get("phase") == "environment":
        # A failure would have ended the phase: the process died in it, or its watch ended it.
        said = tr(
            "torch or the driver ended the process or did not answer within {environment_seconds} s (exit {code})",
            environment_seconds=ENVIRONMENT_SECONDS,
            code=code,
        )
        lost = Check(
            name="environment", passed=False, said=tr("{said}: `sft-advisor doctor` finds out why", said=said)
        )
        return _blocked(plan, exit_codes.ENVIRONMENT, (*checks, lost))
    if failure.get("phase") == "environment":
        found = msgspec.convert(record.get("environment", []), list[Check])
        return _blocked(plan, code, (*checks, *found))
    stopped = (
        tr("stopped before it was through")
        if code == exit_codes.STOPPED
        else tr("see the log in {run_dir}", run_dir=run_dir)
    )
    what = failure.get("what") or stopped
    failed = Check(name="longest_batch", passed=False, said=str(what))
    return _blocked(plan, code, (*checks, failed))


def _blocked(plan: TrainingPlan, code: int, checks: tuple[Check, ...]) -> Preflight:
    return Preflight(outcome="blocked", checks=checks, predicted_peak_bytes=plan.predicted_peak_bytes, exit_code=code)


def main(arguments: list[str] | None = None) -> int:
    """The command. Return 0 when the plan can start, else an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.supervision.preflight", description="Try a plan before running it."
    )
    parser.add_argument("plan", type=Path, help="the plan file")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    options = parser.parse_args(arguments)
    codes: list[int] = []

    def judge() -> None:
        found = preflight(_load(options.plan), options.run_dir, echo=sys.stderr.buffer.write)
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        codes.append(found.exit_code)

    return explained(judge) or codes[0]


def _load(path: Path) -> TrainingPlan:
    if not path.is_file():
        raise PlanRefused(tr("there is no plan at {path}", path=path), fix=tr("name a plan.toml"))
    return load_plan(path)


if __name__ == "__main__":
    sys.exit(main())
