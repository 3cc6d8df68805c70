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
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from trainers import amounts, exit_codes
from trainers.errors import PlanRefused
from trainers.handover.serving import vllm_refusals
from trainers.language import tr
from trainers.plan import TrainingPlan, load_plan, save_plan
from trainers.run_folder import layout
from trainers.run_folder.failures import explained
from trainers.run_folder.lock import hold
from trainers.run_folder.record import read_record
from trainers.supervision import child
from trainers.supervision.backoff import next_step, what_is_left
from trainers.supervision.command import prepare
from trainers.writing import write_atomically

SCRATCH = ".preflight"
"""Folder inside the run folder for the checkpoint that is only measured."""
ENVIRONMENT_SECONDS = 120
SPARE_SHARE = 0.05
"""Of the memory: with less left, another process or a fragmented allocator can end the run hours later."""
Outcome = Literal["ready", "ready_with_warnings", "does_not_fit", "blocked"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `passed` None: a warning, which blocks nothing."""

    name: str
    """What was looked at."""
    passed: bool | None
    """Whether it is as it should be; null: a warning."""
    said: str
    """What was found, as a sentence."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the longest batch took, by the code and on the device of the run."""

    peak_bytes: int
    """Of the process that needed most."""
    limit_bytes: int
    """The most that a process could have used, of the one with least: its card, or its share of the host memory."""
    kind: str
    """`device` (as nvidia-smi shows it) or `resident` (host memory of the process)."""
    allocated_peak_bytes: int | None
    """Peak of the tensors alone; null on a CPU."""
    longest_tokens: int
    """Tokens of the longest sequence that was tried."""
    micro_batch_size: int
    """Sequences a forward pass."""
    forward_passes: int
    """Of each of the two steps; at most two, for more accumulation does not raise the peak."""
    step_seconds: float
    """One optimizer step with the longest batch."""
    eval_seconds: float | None
    """One evaluation batch; null where nothing is kept back."""
    save_seconds: float
    """Writing one checkpoint."""
    checkpoint_bytes: int
    """Its size."""
    total_steps: int
    """Optimizer steps of the whole run."""
    total_seconds_at_most: float
    """All steps at the speed of the longest batch, without evaluation and saves."""
    loss: float | None
    """Of the last step tried, in nats a token; null where it was not finite."""
    packed_weights_equal: int | None = None
    """4-bit weights that FSDP split and gathered again bit for bit; null where it splits none."""


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
            *_packed(self.measured),
        ]

    @property
    def said(self) -> str:
        """The verdict as one line."""
        failed = [check.said for check in self.checks if check.passed is False]
        advice = [self.advice] if self.advice else []
        return "; ".join([self.outcome.replace("_", " "), *failed, *advice, *self.figures])


def _packed(measured: Measured) -> list[str]:
    if measured.packed_weights_equal is None:
        return []
    return [tr("{count} split 4-bit weights came back bit for bit", count=measured.packed_weights_equal)]


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
        *_room_for_checkpoints(plan, run_dir, measured),
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


def quick_checks(plan: TrainingPlan, run_dir: Path) -> list[Check]:
    """What needs no torch: a folder that can be written, an adapter that can be served, several nodes."""
    checks = [_writable(run_dir)]
    if plan.delivery.engine == "vllm" and plan.delivery.artifact == "adapter":
        refusals = vllm_refusals(plan)
        said = "; ".join(refusals) or tr("vLLM can serve this adapter")
        checks.append(Check(name="vllm", passed=not refusals, said=said))
    if plan.num_nodes > 1:
        said = tr(
            "{run_dir} has to be the same shared folder on all {num_nodes} nodes",
            run_dir=run_dir,
            num_nodes=plan.num_nodes,
        )
        checks.append(Check(name="shared_folder", passed=None, said=said))
    checks += _host_memory(plan)
    if plan.accelerator == "cpu" and plan.sharding == "fsdp":
        said = tr("accelerate silently turns FSDP into plain DDP on CPUs")
        checks.append(Check(name="fsdp_on_cpu", passed=None, said=said))
    return checks


def _host_memory(plan: TrainingPlan) -> list[Check]:
    """Whether the host holds what it has to while FSDP loads; other ways load straight to the card, or in parts."""
    if plan.sharding != "fsdp" or plan.accelerator == "cpu" or not plan.model.num_params:
        return []
    from trainers.host_memory import free_host_bytes

    width = 4 if plan.weights_dtype == "fp32" else 2
    # With 4-bit weights every rank holds a packed copy and one weight before it is packed.
    ranks = plan.num_gpus // plan.num_nodes
    needed = plan.model.num_params * (width if plan.quantization == "none" else 0.6 * ranks)
    free = free_host_bytes()
    said = tr(
        "loading takes about {gib} of host memory, {gib_2} are free",
        gib=amounts.gib(needed, 0),
        gib_2=amounts.gib(free, 0),
    )
    if needed < free:
        return [Check(name="host_memory", passed=True, said=said)]
    return [
        Check(name="host_memory", passed=None, said=tr("{said}: the kernel may end it while it loads", said=said))
    ]


def _writable(run_dir: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=run_dir) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        return Check(
            name="run_folder",
            passed=False,
            said=tr("{run_dir} cannot be written: {strerror}", run_dir=run_dir, strerror=error.strerror),
        )
    return Check(name="run_folder", passed=True, said=tr("{run_dir} can be written", run_dir=run_dir))


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


def memory_check(plan: TrainingPlan, measured: Measured) -> Check:
    """The plan judged again, by the peak that was measured instead of the predicted one."""
    peak, limit = measured.peak_bytes, measured.limit_bytes
    said = tr("a peak of {gib} of {gib_2} was measured", gib=amounts.gib(peak), gib_2=amounts.gib(limit))
    if plan.predicted_peak_bytes and plan.predicted_peak_bytes > limit >= peak:
        said += tr(
            "; the {gib} predicted were too many, and do not count now", gib=amounts.gib(plan.predicted_peak_bytes)
        )
    if peak <= limit * (1 - SPARE_SHARE):
        return Check(name="memory", passed=True, said=said)
    step = next_step(plan)
    advice = step.said if step else what_is_left(plan)
    return Check(
        name="memory", passed=None, said=tr("{said}: hardly any to spare; {advice}", said=said, advice=advice)
    )


def _room_for_checkpoints(plan: TrainingPlan, run_dir: Path, measured: Measured) -> list[Check]:
    """One more than the number kept: an old checkpoint goes only when the new one is whole."""
    count = plan.checkpoints_kept + 1
    needed = measured.checkpoint_bytes * count
    free = shutil.disk_usage(run_dir).free
    said = tr(
        "{count} checkpoints need {mib}, {mib_2} are free",
        count=count,
        mib=amounts.mib(needed),
        mib_2=amounts.mib(free),
    )
    return [Check(name="disk", passed=True if free > needed else None, said=said)]


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
