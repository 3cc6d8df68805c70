"""The best step of a run: kept while it trains, and the end of a run that only gets worse.

transformers has a callback and an option for it; these hold an absolute path and a counter of their own, and want
saves to fall on evaluations. Here everything is read from the log of evaluations, which each checkpoint carries, so a
run that is moved, killed or resumed decides as one that nothing disturbed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.plan import TrainingPlan
from trainers.run_folder.best_step import best_of, evaluations, without_gain
from trainers.run_folder.checkpoint import checkpoints_dir

if TYPE_CHECKING:
    from typing import Any


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
    return checkpoint_of_step(run_dir, best.step) if best else None


def checkpoint_of_step(run_dir: Path, step: int) -> Path:
    """Where the checkpoint of a step is, whether or not there is one."""
    return checkpoints_dir(run_dir) / f"checkpoint-{step}"
