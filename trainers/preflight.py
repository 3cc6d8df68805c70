"""Before the run: is everything there, and does the longest batch really fit? `python -m trainers.preflight PLAN`.

Three stages, each cheaper than finding out later: what can be read off the plan and the disk; torch, driver and
bitsandbytes against each other, in a child that may die; then two real steps of the longest batch, an evaluation and
a save, through the very code of the run. The result is preflight.json in the run folder.
No torch in this file: what runs inside the training process is in trainers.longest_batch.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from trainers import exit_codes
from trainers.backoff import next_step, what_is_left
from trainers.errors import PlanRefused
from trainers.failures import explained
from trainers.fingerprint import FINGERPRINT_FILE
from trainers.launch import child
from trainers.launch.local import PLAN_FILE, prepare
from trainers.lock import hold
from trainers.plan import TrainingPlan, load_plan, save_plan, write_atomically
from trainers.record import RUN_FILE, read_record
from trainers.serving import vllm_refusals

PREFLIGHT_FILE = "preflight.json"
PREFLIGHT_SCHEMA = "sft-advisor/preflight/v1"
LOG_FILE = "preflight.log"
SCRATCH = ".preflight"
"""Folder inside the run folder for the checkpoint that is only measured."""
ENVIRONMENT_SECONDS = 120
SPARE_SHARE = 0.05
"""Of the memory: with less left, another process or a fragmented allocator can end the run hours later."""
Outcome = Literal["ready", "ready_with_warnings", "does_not_fit", "blocked"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `passed` None: a warning, which blocks nothing."""

    name: str
    passed: bool | None
    said: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the longest batch took, by the code and on the device of the run."""

    peak_bytes: int
    """Of the process that needed most."""
    limit_bytes: int
    """The most that a process could have used, of the one with least: its card, or its share of the host memory."""
    kind: str
    """`device` (as nvidia-smi shows it) or `resident` (host memory of the process)."""
    allocated_peak_bytes: int | None
    longest_tokens: int
    micro_batch_size: int
    forward_passes: int
    """Of each of the two steps; at most two, for more accumulation does not raise the peak."""
    step_seconds: float
    eval_seconds: float | None
    save_seconds: float
    checkpoint_bytes: int
    total_steps: int
    total_seconds_at_most: float
    """All steps at the speed of the longest batch, without evaluation and saves."""
    loss: float | None


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one plan."""

    schema: str = PREFLIGHT_SCHEMA
    outcome: Outcome
    checks: tuple[Check, ...]
    predicted_peak_bytes: int | None
    measured: Measured | None = None
    measured_over_predicted: float | None = None
    exit_code: int = exit_codes.DONE
    advice: str = ""
    """What to change when it does not fit, as a sentence."""

    @property
    def figures(self) -> list[str]:
        """What was measured, as phrases; none when it did not come to that."""
        if self.measured is None:
            return []
        memory = [check.said for check in self.checks if check.name == "memory"]
        ratio = [f"{self.measured_over_predicted:.2f} of the prediction"] if self.measured_over_predicted else []
        step = f"a step of the longest batch took {self.measured.step_seconds:.2f} s"
        return [*memory, *ratio, f"{step}, {self.measured.total_steps:,} are to be made"]


def preflight(plan: TrainingPlan, run_dir: Path, echo: Callable[[bytes], object] | None = None) -> Preflight:
    """Judge the plan on this machine and write preflight.json. `echo` gets what the child prints.

    Takes seconds with a small model; with a large one about as long as loading it and two steps. Raises PlanRefused
    when a training is going on in the folder.
    """
    with hold(run_dir):
        return judge_plan(plan, run_dir, echo)


def judge_plan(plan: TrainingPlan, run_dir: Path, echo: Callable[[bytes], object] | None = None) -> Preflight:
    """As `preflight`, for a caller that holds the folder."""
    run_dir = run_dir.resolve()
    checks = [*quick_checks(plan, run_dir), *environment_checks(plan)]
    if any(check.passed is False for check in checks):
        found = Preflight(
            outcome="blocked",
            checks=tuple(checks),
            predicted_peak_bytes=plan.predicted_peak_bytes,
            exit_code=exit_codes.ENVIRONMENT,
        )
    else:
        found = _judged(plan, run_dir, tuple(checks), _try_longest_batch(plan, run_dir, echo))
    write_atomically(run_dir / PREFLIGHT_FILE, msgspec.json.format(msgspec.json.encode(found)))
    return found


def quick_checks(plan: TrainingPlan, run_dir: Path) -> list[Check]:
    """What needs no torch: a folder that can be written, an adapter that can be served, several nodes."""
    checks = [_writable(run_dir)]
    if plan.delivery.engine == "vllm" and plan.delivery.artifact == "adapter":
        refusals = vllm_refusals(plan)
        said = "; ".join(refusals) or "vLLM can serve this adapter"
        checks.append(Check(name="vllm", passed=not refusals, said=said))
    if plan.num_nodes > 1:
        said = f"{run_dir} has to be the same shared folder on all {plan.num_nodes} nodes"
        checks.append(Check(name="shared_folder", passed=None, said=said))
    checks += _host_memory(plan)
    if plan.accelerator == "cpu" and plan.sharding == "fsdp":
        said = "accelerate turns FSDP into plain DDP on CPUs, without a word"
        checks.append(Check(name="fsdp_on_cpu", passed=None, said=said))
    return checks


def environment_checks(plan: TrainingPlan) -> list[Check]:
    """torch, driver and bitsandbytes against each other, in a child: a broken CUDA library ends its process."""
    wanted = {
        "accelerator": plan.accelerator,
        "bf16": "bf16" in (plan.compute_dtype, plan.weights_dtype),
        "bitsandbytes": plan.method == "qlora" or "8bit" in plan.optimizer or plan.optimizer.startswith("paged"),
        "processes": plan.num_gpus // plan.num_nodes,
    }
    launch = prepare(plan, Path(tempfile.gettempdir()), rendezvous="127.0.0.1:0")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "trainers.environment", json.dumps(wanted)],
            env={**os.environ, **launch.environment},
            capture_output=True,
            text=True,
            timeout=ENVIRONMENT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        said = f"torch did not answer within {ENVIRONMENT_SECONDS} s: a device that hangs, or a very slow disk"
        return [Check(name="environment", passed=False, said=said)]
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    checks = [msgspec.json.decode(line, type=Check) for line in lines]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        said = f"the check died with {done.returncode}: {last}"
        checks.append(Check(name="environment", passed=False, said=said))
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
    said = f"loading takes about {needed / 2**30:,.0f} GiB of host memory, {free / 2**30:,.0f} GiB are free"
    if needed < free:
        return [Check(name="host_memory", passed=True, said=said)]
    return [Check(name="host_memory", passed=None, said=f"{said}: the kernel may end it while it loads")]


def _writable(run_dir: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=run_dir) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        return Check(name="run_folder", passed=False, said=f"{run_dir} cannot be written: {error.strerror}")
    return Check(name="run_folder", passed=True, said=f"{run_dir} can be written")


def _try_longest_batch(plan: TrainingPlan, run_dir: Path, echo: Callable[[bytes], object] | None) -> int:
    """Run the training process with --preflight; gives its exit code. What it leaves behind pins no later plan.

    Raises KeyboardInterrupt after a Ctrl-C, when the process has ended: there is nothing to judge then.
    """
    pinned = (run_dir / FINGERPRINT_FILE).exists()
    save_plan(plan, run_dir / PLAN_FILE)
    launch = prepare(plan, run_dir, resume="never", extra=("--preflight",))
    signals: list[str] = []
    with (run_dir / LOG_FILE).open("wb") as log:
        process = child.spawn(launch, log=log)
        with child.signals_forwarded(process, on_signal=signals.append):
            for piece in child.follow(process, run_dir / LOG_FILE, 0):
                if echo is not None:
                    echo(piece)
    shutil.rmtree(run_dir / SCRATCH, ignore_errors=True)
    if not pinned:
        (run_dir / FINGERPRINT_FILE).unlink(missing_ok=True)
    if "SIGINT" in signals:
        raise KeyboardInterrupt
    return child.exit_code(process)


def _judged(plan: TrainingPlan, run_dir: Path, checks: tuple[Check, ...], code: int) -> Preflight:
    record = read_record(run_dir / RUN_FILE)
    common: dict[str, Any] = {"predicted_peak_bytes": plan.predicted_peak_bytes, "exit_code": code}
    if code == exit_codes.OUT_OF_MEMORY:
        step = next_step(plan, (record.get("failure") or {}).get("phase"))
        advice = step.said if step else what_is_left(plan)
        return Preflight(outcome="does_not_fit", checks=checks, advice=advice, **common)
    if code != exit_codes.DONE or "preflight" not in record:
        what = (record.get("failure") or {}).get("what") or f"see {run_dir / LOG_FILE}"
        failed = Check(name="longest_batch", passed=False, said=str(what))
        return Preflight(outcome="blocked", checks=(*checks, failed), **common)
    measured = msgspec.convert(record["preflight"], Measured)
    checks = (*checks, memory_check(plan, measured), *_room_for_checkpoints(plan, run_dir, measured))
    warned = any(check.passed is not True for check in checks)
    ratio = measured.peak_bytes / plan.predicted_peak_bytes if plan.predicted_peak_bytes else None
    return Preflight(
        outcome="ready_with_warnings" if warned else "ready",
        checks=checks,
        measured=measured,
        measured_over_predicted=round(ratio, 3) if ratio else None,
        **common,
    )


def memory_check(plan: TrainingPlan, measured: Measured) -> Check:
    """The plan judged again, by the peak that was measured instead of the predicted one."""
    peak, limit = measured.peak_bytes, measured.limit_bytes
    said = f"a peak of {peak / 2**30:.1f} GiB of {limit / 2**30:.1f} GiB was measured"
    if plan.predicted_peak_bytes and plan.predicted_peak_bytes > limit >= peak:
        said += f"; the {plan.predicted_peak_bytes / 2**30:.1f} GiB predicted were too many, and do not count now"
    if peak <= limit * (1 - SPARE_SHARE):
        return Check(name="memory", passed=True, said=said)
    step = next_step(plan)
    advice = step.said if step else what_is_left(plan)
    return Check(name="memory", passed=None, said=f"{said}: hardly any to spare; {advice}")


def _room_for_checkpoints(plan: TrainingPlan, run_dir: Path, measured: Measured) -> list[Check]:
    """One more than the number kept: an old checkpoint goes only when the new one is whole."""
    needed = measured.checkpoint_bytes * (plan.save_total_limit + 1)
    free = shutil.disk_usage(run_dir).free
    said = f"{plan.save_total_limit + 1} checkpoints need {needed / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free"
    return [Check(name="disk", passed=True if free > needed else None, said=said)]


def main(arguments: list[str] | None = None) -> int:
    """The command; gives 0 when the plan can start, else an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(prog="python -m trainers.preflight", description="Try a plan before running it.")
    parser.add_argument("plan", type=Path, help="plan.toml")
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
        raise PlanRefused(f"there is no plan at {path}", fix="name a plan.toml")
    return load_plan(path)


if __name__ == "__main__":
    sys.exit(main())
