"""What ends a training early: a signal, agreed on by all ranks, or a loss that is lost.

A signal only raises a flag. At the end of each step the ranks take the largest flag among them, so that all of them
save the same step and stop; each deciding for itself would leave the others waiting in a collective until they are
killed.
"""

from __future__ import annotations

import math
import signal
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers import exit_codes
from trainers.errors import CheckpointDoubted, Diverged
from trainers.language import tr
from trainers.training.ranks import largest_of_ranks


class Interrupted(SystemExit):
    """A signal came while nothing had been trained that a checkpoint could keep."""

    def __init__(self) -> None:
        super().__init__(exit_codes.STOPPED)


class StopOnSignal(TrainerCallback):
    """SIGTERM or Ctrl-C: save a checkpoint at the end of this step, then stop. Outside of training: stop at once.

    `until` is a step at whose end the run stops in the same way, as if it had been asked to.
    """

    def __init__(self, until: int | None = None) -> None:
        self.until = until
        self.asked = False
        self.stopped = False
        self.training = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._raise_flag)

    def _raise_flag(self, _number: int, _frame: object) -> None:
        self.asked = True
        if not self.training:
            raise Interrupted

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """From here on a signal waits for the end of the step."""
        self.training = True

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """The result is about to be written; a signal still waits until `release`."""

    def release(self) -> None:
        """Nothing is left that a signal could destroy: one that came in the meantime counts now."""
        self.training = False
        if self.asked and not self.stopped:
            raise Interrupted

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Agree among the ranks; save and stop when one of them was told to."""
        if state.global_step == self.until or self._agreed(args.device):
            self.stopped = state.global_step < state.max_steps
            control.should_save = True
            control.should_training_stop = True
        return control

    def _agreed(self, device: torch.device) -> bool:
        return bool(largest_of_ranks(int(self.asked), device))


LAST_LOSSES = 20
"""Logs before a checkpoint whose losses say how far a loss varies from log to log."""


class DivergenceGuard(TrainerCallback):
    """Stops when loss or gradient norm stay not finite, or the loss runs away from the best it had reached.

    Runs away: the smoothed loss stays above twice its lowest value plus 2 nats for `patience` logs. A single spike
    recovers and is left alone. No checkpoint is written of a step whose log was not finite.

    A run that goes on from a checkpoint is held to what it had reached there: CheckpointDoubted is raised when one of
    its first `patience` logs is not finite, or its first loss is above the last ones of the checkpoint by 2 nats and
    by twice their spread (batches of one short example differ much, those of pretraining hardly do).
    """

    def __init__(self, patience: int = 3, runaway_patience: int = 10) -> None:
        self.patience, self.runaway_patience = patience, runaway_patience
        self.not_finite = self.runaway = 0
        self.smoothed: float | None = None
        self.lowest = math.inf
        self.reached: list[float] = []
        self.logs_since_resume = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Take up the losses that the checkpoint holds."""
        losses = [float(entry["loss"]) for entry in state.log_history if "loss" in entry]
        for loss in filter(math.isfinite, losses):
            self._smooth(loss)
            self.reached = [*self.reached[1 - LAST_LOSSES :], loss]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> TrainerControl:
        """Look at one log of training. Raises Diverged; every rank sees the same numbers, so every rank does."""
        logs = logs or {}
        if "loss" not in logs:
            return control
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        # fp16 runs into infinite gradients on purpose, to find its loss scale, and skips those steps.
        finite = math.isfinite(loss) and (math.isfinite(norm) or args.fp16)
        self.not_finite = 0 if finite else self.not_finite + 1
        if not finite:
            control.should_save = False
        self._hold_to_checkpoint(loss, finite, state)
        if not finite:
            if self.not_finite >= self.patience:
                raise self._error(state, f"loss {loss}, gradient norm {norm} for {self.not_finite} logs")
            return control
        self._watch(loss, state)
        return control

    def _hold_to_checkpoint(self, loss: float, finite: bool, state: TrainerState) -> None:
        """Raise CheckpointDoubted where the first logs after a resume do not continue from what was reached."""
        if not self.reached:
            return
        self.logs_since_resume += 1
        highest, spread = max(self.reached), max(self.reached) - min(self.reached)
        jumped = self.logs_since_resume == 1 and loss > highest + max(2, 2 * spread)
        if jumped or (not finite and self.logs_since_resume <= self.patience):
            raise CheckpointDoubted(
                tr(
                    "the loss at step {global_step} is {loss:.4g}; the checkpoint was at {reached:.4g}",
                    global_step=state.global_step,
                    loss=loss,
                    reached=self.reached[-1],
                ),
                why=tr("a resumed run goes on where it was; the checkpoint or the data is not what it was"),
                fix=tr("start the same run again: it goes on from the checkpoint before"),
            )

    def _smooth(self, loss: float) -> float:
        self.smoothed = loss if self.smoothed is None else 0.8 * self.smoothed + 0.2 * loss
        self.lowest = min(self.lowest, self.smoothed)
        return self.smoothed

    def _watch(self, loss: float, state: TrainerState) -> None:
        self.smoothed = self._smooth(loss)
        self.runaway = self.runaway + 1 if self.smoothed > 2 * self.lowest + 2 else 0
        if self.runaway >= self.runaway_patience:
            raise self._error(state, f"the loss rose from {self.lowest:.2f} to {self.smoothed:.2f} and stays there")

    @staticmethod
    def _error(state: TrainerState, why: str) -> Diverged:
        return Diverged(
            tr("training diverged at step {global_step}", global_step=state.global_step),
            why=why,
            fix=tr("plan again with a third of the learning_rate, and look at the examples of these steps"),
        )
