"""Everything that is prepared before the first step: data, model, trainer, and the checkpoint to resume from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import versions
from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.methods import backend
from trainers.plan import TrainingPlan, save_plan
from trainers.run_folder import layout
from trainers.run_folder.record import RunRecord
from trainers.training.placement import rank, require_devices, say
from trainers.training.reporters import prepare_reporters
from trainers.writing import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import SFTTrainer

    from trainers.methods.base import Backend
    from trainers.training.dataset import PreparedData
    from trainers.training.evaluate import Limits
    from trainers.training.guard import StopOnSignal
    from trainers.training.monitor import Monitor

"""Every package of this environment with its version, in the run folder."""
EVAL_ROWS = 1000
"""Rows that each evaluation during training looks at; more would cost hours and say the same."""


@dataclass
class Session:
    """One process's part in a run, ready to train."""

    plan: TrainingPlan
    run_dir: Path
    record: RunRecord
    method: Backend
    tokenizer: PreTrainedTokenizerBase
    data: PreparedData
    trainer: SFTTrainer
    monitor: Monitor
    stop: StopOnSignal
    checkpoint: Path | None
    limits: Limits | None = None
    """How much of the kept-back part is looked at; None: as the device allows."""

    @property
    def is_main(self) -> bool:
        """True on the one process that writes."""
        return bool(self.trainer.args.process_index == 0)

    @property
    def in_one_piece(self) -> bool:
        """True when each process holds the whole model, so that one alone can look at it."""
        return self.plan.in_one_piece


def prepare(
    plan: TrainingPlan, run_dir: Path, record: RunRecord, resume: str = "auto", until: int | None = None
) -> Session:
    """Check, tokenise, find the checkpoint to resume from, load the model, build the trainer: nothing trained yet.

    `until`: the step at which the training stops, to be gone on with later.
    """
    method = backend(plan.method)
    require_devices(plan)
    if refusals := method.refusals(plan):
        raise PlanRefused("; ".join(refusals), fix=tr("change these fields of the plan"))
    run_dir.mkdir(parents=True, exist_ok=True)
    record.update(**_identity(plan), started=time.strftime("%Y-%m-%dT%H:%M:%S%z"), exit_state="running", failure=None)

    with record.phase("importing"):
        from trainers.training import arguments, quiet

        record.update(versions=versions.check_installed(need_bitsandbytes=plan.needs_bitsandbytes))
        if rank() == 0:
            write_atomically(run_dir / layout.REQUIREMENTS, versions.requirements_file().encode())
        quiet.libraries()
        from transformers import set_seed

        from trainers.methods import models
        from trainers.methods.towers import auto_class
        from trainers.training import data_report, dataset, rendering
        from trainers.training.guard import StopOnSignal

        stop = StopOnSignal(until)
        set_seed(plan.seed)

    with record.phase("data"):
        tokenizer = models.load_tokenizer(plan)
        tokenizer_notes = rendering.prepare_tokenizer(tokenizer)
        data = dataset.prepare(plan, tokenizer, run_dir, models.end_token_ids(plan), say)
        record.update(data=data_report.as_record(data.report, tokenizer_notes))
        say(data_report.verdict(data.report, tokenizer_notes))
        checkpoint = _checkpoint(plan, run_dir, resume)

    with record.phase("loading"):
        say(prepare_reporters(plan, run_dir))
        # Before the model: under ZeRO-3 the arguments decide how it is loaded.
        args = arguments.sft_config(plan, run_dir, has_eval=data.eval is not None, extra=method.arguments(plan))
        base = method.load(plan)
        require_embeddings(base, tokenizer, data)
        model = method.trainable(base, plan)
        trainer, monitor = _trainer(plan, run_dir, model, tokenizer, data, args, stop)
        record.update(
            parameters=_parameters(trainer.model),
            device=str(args.device),
            world_size=args.world_size,
            auto_class=auto_class(base.config).__name__,
        )
    return Session(plan, run_dir, record, method, tokenizer, data, trainer, monitor, stop, checkpoint)


def _identity(plan: TrainingPlan) -> dict[str, Any]:
    return {
        "method": plan.method,
        "model": plan.model.name,
        "dataset": plan.dataset.source if plan.dataset else None,
        "seed": plan.seed,
        "global_batch_size": plan.global_batch_size,
        "memory": {"predicted_peak_bytes": plan.predicted_peak_bytes, "measured_peak_bytes": None},
    }


def _checkpoint(plan: TrainingPlan, run_dir: Path, resume: str) -> Path | None:
    """The checkpoint to resume from. One rank after the other looks, for looking moves damaged ones away."""
    from filelock import FileLock

    from trainers.run_folder.checkpoint import choose_checkpoint
    from trainers.run_folder.fingerprint import hold_to_start
    from trainers.training.other_form import require_readable, said_of_change

    with FileLock(run_dir / layout.DATA / layout.LOCK):
        if rank() == 0:
            # reads the whole dataset once more, so not on every rank
            hold_to_start(plan, run_dir)
            if not (run_dir / layout.PLAN).exists():
                save_plan(plan, run_dir / layout.PLAN)
        checkpoint = choose_checkpoint(run_dir, resume)
    if checkpoint is None:
        return None
    require_readable(checkpoint.path, plan)
    say(
        tr("going on from step {step}", step=checkpoint.step)
        + (tr(", where the loss was {loss:.4f}", loss=checkpoint.loss) if checkpoint.loss else "")
    )
    if said := said_of_change(checkpoint.path, plan):
        say(said)
    return checkpoint.path


def require_embeddings(model: Any, tokenizer: PreTrainedTokenizerBase, data: PreparedData) -> None:
    """Raise PlanRefused when the examples hold tokens that were added to the tokenizer but not to the model."""
    rows = model.get_input_embeddings().num_embeddings
    largest = max(data.largest_token_id(), tokenizer.pad_token_id or 0)
    if largest < rows:
        return
    beyond = [token for token, number in tokenizer.get_vocab().items() if number >= rows]
    raise PlanRefused(
        tr(
            "the examples hold tokens that the model has no embedding for, such as {beyond}",
            beyond=", ".join(sorted(beyond)[:5]),
        ),
        why=tr(
            "the tokenizer knows {num_tokenizer:,} tokens, and the model has {rows:,} rows",
            num_tokenizer=len(tokenizer),
            rows=rows,
        ),
        fix=tr(
            "once, before the run: model.resize_token_embeddings(len(tokenizer)), save both into "
            "one folder, name that folder as the model, and train the new rows "
            "(trainable_token_indices)"
        ),
    )


def _trainer(
    plan: TrainingPlan, run_dir: Path, model: Any, tokenizer: Any, data: PreparedData, args: Any, stop: StopOnSignal
) -> tuple[SFTTrainer, Monitor]:
    from transformers import PrinterCallback

    from trainers.training.best_step import BestStep
    from trainers.training.guard import DivergenceGuard
    from trainers.training.monitor import Monitor
    from trainers.training.optimizers import trainer_options
    from trainers.training.rendering import IGNORED
    from trainers.training.saving import CheckpointKeeper
    from trainers.training.sight import Collator
    from trainers.training.token_loss import TokenLossTrainer

    monitor = Monitor(run_dir, writes=rank() == 0)
    collator = Collator(data.sight, tokenizer.pad_token_id, IGNORED) if data.sight else None
    trainer = TokenLossTrainer(
        model=model,
        args=args,
        train_dataset=data.train,
        eval_dataset=data.eval_rows(EVAL_ROWS),
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=[
            monitor,
            DivergenceGuard(),
            stop,
            BestStep(plan),
            CheckpointKeeper(run_dir, keep=plan.save_total_limit, keep_best=plan.load_best_model_at_end),
        ],
        **trainer_options(model, plan, args),
    )
    trainer.remove_callback(PrinterCallback)
    if plan.compute_dtype != "bf16" and plan.quantization != "none":
        # TRL turns adapters on a quantised base into bf16, also where nothing else is bf16.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer, monitor


def _parameters(model: Any) -> dict[str, int]:
    """How many numbers train, and how many there are in all, however they are stored."""
    from trainers.training.reload import count

    return {
        "trainable": sum(count(p) for p in model.parameters() if p.requires_grad),
        "total": sum(count(p) for p in model.parameters()),
    }
