"""The best step of a run: kept while it trains, the end of a run that only gets worse, and its weights in the end.

transformers has a callback and an option for it; these hold an absolute path and a counter of their own, and want
saves to fall on evaluations. Here everything is read from the log of evaluations, which each checkpoint carries, so a
run that is moved, killed or resumed decides as one that nothing disturbed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.plan import TrainingPlan
from trainers.run_folder.best_step import Delivered, best_of, choose, evaluations, without_gain
from trainers.run_folder.checkpoint import checkpoint_problems, checkpoints_dir

if TYPE_CHECKING:
    from typing import Any

    from trl import SFTTrainer

    from trainers.training.session import Session


class BestStep(TrainerCallback):
    """Saves each step whose evaluation is the best so far, and ends a run that has not gained for too long.

    Add it before CheckpointKeeper, which looks for room once a save is asked for.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.keeps_best, self.patience = plan.load_best_model_at_end, plan.early_stopping_patience

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """A run that had ended early when it was killed makes no further step."""
        control.should_training_stop = self._is_over(state)
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Judge the evaluation just made; every rank has the same numbers."""
        best = best_of(evaluations(state.log_history))
        is_best = best is not None and best.step == state.global_step
        over = self._is_over(state)
        control.should_save = control.should_save or over or (self.keeps_best and is_best)
        control.should_training_stop = control.should_training_stop or over
        return control

    def _is_over(self, state: TrainerState) -> bool:
        return self.patience is not None and without_gain(evaluations(state.log_history)) >= self.patience


def best_checkpoint(run_dir: Path, state: TrainerState) -> Path | None:
    """Where the checkpoint of the best step so far is, whatever else goes; None before an evaluation."""
    best = best_of(evaluations(state.log_history))
    return _checkpoint(run_dir, best.step) if best else None


def load_step_to_deliver(session: Session) -> Delivered:
    """Put the weights of the step that the plan delivers into the session's model. Call it on every rank."""
    trainer, state, plan = session.trainer, session.trainer.state, session.plan
    found: list[Any] = [None]
    if session.is_main:
        found = [
            choose(
                evaluations(state.log_history),
                state.global_step,
                state.max_steps,
                wants_best=plan.load_best_model_at_end,
                is_whole=lambda step: _is_whole(_checkpoint(session.run_dir, step)),
            )
        ]
    delivered = _from_first_rank(found)
    if delivered.step != state.global_step:
        _load_weights(trainer, _checkpoint(session.run_dir, delivered.step), plan)
    return delivered


def _load_weights(trainer: SFTTrainer, checkpoint: Path, plan: TrainingPlan) -> None:
    """The way in which a resume loads them."""
    if plan.sharding in ("zero2", "zero3"):
        from transformers.integrations.deepspeed import deepspeed_load_checkpoint

        deepspeed_load_checkpoint(trainer.model_wrapped, str(checkpoint), load_module_strict=not plan.trains_adapter)
    elif plan.sharding == "fsdp":
        trainer._load_from_checkpoint(str(checkpoint), trainer.model_wrapped)
    else:
        trainer._load_from_checkpoint(str(checkpoint))


def _checkpoint(run_dir: Path, step: int) -> Path:
    return checkpoints_dir(run_dir) / f"checkpoint-{step}"


def _is_whole(path: Path) -> bool:
    return path.is_dir() and not checkpoint_problems(path)


def _from_first_rank(values: list[Any]) -> Delivered:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(values)
    delivered: Delivered = values[0]
    return delivered
