"""What is looked at before a run, each a sentence: what needs no torch, and what the longest batch took.

quick_checks(plan, run_dir)                  what can be read off the plan and the disk
memory_check(plan, measured)                 the plan against the peak that was measured
room_for_checkpoints(plan, run_dir, measured)
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec

from trainers import amounts
from trainers.handover.serving import vllm_refusals
from trainers.language import tr
from trainers.plan import TrainingPlan
from trainers.supervision.backoff import next_step, what_is_left

SPARE_SHARE = 0.05
"""Of the memory: with less left, another process or a fragmented allocator can end the run hours later."""


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
    packed_rows_difference: float | None = None
    """How far answers to examples in one row are from those to each alone, as a part of their spread; null where no
    examples share one."""


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


def room_for_checkpoints(plan: TrainingPlan, run_dir: Path, measured: Measured) -> list[Check]:
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
