"""The longest batch of a run: forward, backward, optimizer step, evaluation and save, by the Trainer itself."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks

from trainers.errors import Diverged
from trainers.language import tr
from trainers.run_folder.events import append_event
from trainers.supervision.checks import Check, Measured
from trainers.supervision.preflight import SCRATCH, keep_passed
from trainers.training import packed_apart, packed_bits
from trainers.training.best_step import BestStep
from trainers.training.guard import StopOnSignal
from trainers.training.monitor import MemoryMeter, Monitor
from trainers.training.placement import say
from trainers.training.put_back import put_back, weights_sum
from trainers.training.ranks import largest_of_ranks
from trainers.training.saving import CheckpointKeeper

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTTrainer

    from trainers.plan import TrainingPlan
    from trainers.training.session import Session

STEPS = 2
"""The second step has the optimizer's state in memory during its forward pass; the first has not."""


class _Clock(TrainerCallback):
    """When each part of the two steps began and ended."""

    def __init__(self) -> None:
        self.step_seconds = self.began = self.step_ended = 0.0
        self.evaluated: float | None = None
        self.saved = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)
        self.step_ended = time.monotonic()
        self.step_seconds = self.step_ended - self.began

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.evaluated = time.monotonic()

    def on_save(self, *_: Any, **__: Any) -> None:
        self.saved = time.monotonic()


class _EndWithSave(TrainerCallback):
    """The second step evaluates and saves, whatever the plan's cadence."""

    def __init__(self, evaluate: bool) -> None:
        self.evaluate = evaluate

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        last = state.global_step >= STEPS
        control.should_evaluate = last and self.evaluate
        control.should_save = last
        return control


class _StandStill(TrainerCallback):
    """Takes every step at a rate of 0, which leaves the weights as they are to the last bit."""

    def on_pre_optimizer_step(self, *_: Any, optimizer: torch.optim.Optimizer, **__: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.0


def try_longest_batch(session: Session, environment: list[Check]) -> bool:
    """Two steps of the longest batch, an evaluation and a save in a scratch folder. Writes preflight.json.

    True when the session can train now as if nothing had been tried. Raises whatever the steps raise, out of memory
    too.
    """
    before = weights_sum(session.trainer.model)
    with session.record.phase("preflight"), put_back(session.trainer):
        found = run_longest_batch(session.plan, session.trainer, session.run_dir / SCRATCH)
    session.record.update(preflight=msgspec.to_builtins(found))
    if session.is_main:
        verdict = keep_passed(session.plan, session.run_dir, environment, found)
        append_event(session.run_dir, "preflight", outcome=verdict.outcome, exit_code=0, said=verdict.said)
        say(tr("preflight: {said}", said=verdict.said))
    return weights_sum(session.trainer.model) == before


def run_longest_batch(plan: TrainingPlan, trainer: SFTTrainer, scratch: Path) -> Measured:
    """Change `trainer` to two steps of its longest rows, run them, and say what they took.

    Raises Diverged for a loss that is not finite, and whatever the steps raise.
    """
    args = trainer.args
    total_steps = _total_steps(plan, trainer)
    passes = _passes(plan)
    rows = plan.micro_batch_size * args.world_size * passes * STEPS
    apart = packed_apart.PackedApart(plan, trainer) if packed_apart.looks_at(plan, trainer) else None
    trainer.train_dataset = _longest(trainer.train_dataset, plan.micro_batch_size, rows)
    if trainer.eval_dataset is not None:
        evaluated = plan.eval_micro_batch_size * args.world_size
        trainer.eval_dataset = _longest(trainer.eval_dataset, plan.eval_micro_batch_size, evaluated)
    args.max_steps, args.gradient_accumulation_steps, args.output_dir = STEPS, passes, str(scratch)
    args.train_sampling_strategy, args.logging_steps = "random", 1
    if plan.sharding not in ("zero2", "zero3"):
        trainer.accelerator.gradient_accumulation_steps = passes
    # Trackers do not see a trial, and a signal ends it at once: there is nothing that a checkpoint could keep.
    reporters = get_reporting_integration_callbacks(args.report_to)
    for callback in (BestStep, CheckpointKeeper, Monitor, StopOnSignal, *reporters):
        trainer.remove_callback(callback)
    clock = _Clock()
    trainer.add_callback(_EndWithSave(trainer.eval_dataset is not None))
    trainer.add_callback(clock)
    trainer.add_callback(_StandStill())
    packed = packed_bits.PackedBits(trainer.model) if packed_bits.looks_at(plan) else None
    for proof in (packed, apart):
        if proof is not None:
            trainer.add_callback(proof)
    trainer.train()
    loss = next((entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry), None)
    if loss is not None and not math.isfinite(loss):
        raise Diverged(
            tr("the loss of the longest batch is {loss}", loss=loss),
            fix=tr("look at its rows, and compute in bf16 or fp32"),
        )
    meter = MemoryMeter(args.device)
    checkpoint = scratch / f"checkpoint-{STEPS}"
    limit = meter.limit_bytes(sharers=plan.num_gpus // plan.num_nodes)
    return Measured(
        peak_bytes=largest_of_ranks(meter.peak_bytes(), args.device),
        limit_bytes=-largest_of_ranks(-limit, args.device),
        kind=meter.kind,
        allocated_peak_bytes=meter.allocated_peak_bytes(),
        longest_tokens=len(trainer.train_dataset[0]["input_ids"]),
        micro_batch_size=plan.micro_batch_size,
        forward_passes=passes,
        step_seconds=round(clock.step_seconds, 3),
        eval_seconds=round(clock.evaluated - clock.step_ended, 3) if clock.evaluated else None,
        save_seconds=round(clock.saved - (clock.evaluated or clock.step_ended), 3),
        checkpoint_bytes=sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()),
        total_steps=total_steps,
        total_seconds_at_most=round(total_steps * clock.step_seconds * plan.gradient_accumulation_steps / passes, 1),
        loss=loss,
        packed_weights_equal=packed.compared if packed is not None else None,
        packed_rows_difference=apart.difference if apart is not None else None,
    )


def _passes(plan: TrainingPlan) -> int:
    """Forward passes a step: two show the peak with gradients kept. DeepSpeed has fixed its number already."""
    if plan.sharding in ("zero2", "zero3"):
        return plan.gradient_accumulation_steps
    return min(2, plan.gradient_accumulation_steps)


def _total_steps(plan: TrainingPlan, trainer: SFTTrainer) -> int:
    if plan.max_steps:
        return plan.max_steps
    return math.ceil(len(trainer.train_dataset) / plan.global_batch_size * plan.num_epochs)


def _longest(dataset: Dataset, batch: int, rows: int) -> Dataset:
    """`rows` rows made of the `batch` longest ones, longest first."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(dataset.with_format("arrow")["input_ids"])
    order = pc.sort_indices(lengths, sort_keys=[("", "descending")]).to_pylist()[:batch]
    return dataset.select([order[i % len(order)] for i in range(rows)])
