"""TRL's trainer with an evaluation loss in which every token counts the same, and checkpoints that load anywhere.

The Trainer averages the means of batches, so that with short answers among long ones the number depends on the
batch size, and is not the one that `trainers.training.evaluate` gives (3.24 against 1.95 on 20 real conversations).
"""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from trainers.training.cpu_head import answers_only
from trainers.training.gather import wrappers_off
from trainers.training.rendering import IGNORED


class TokenLossTrainer(SFTTrainer):
    """SFTTrainer whose `eval_loss` is nats per supervised token over all ranks; training is untouched.

    A resume of a run that has made all its steps, or had ended early, makes none: the Trainer looks for the end only
    after a step.
    """

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """As SFTTrainer, without the work that a CPU would do for positions that have no label."""
        with answers_only():
            return super().compute_loss(*args, **kwargs)

    def _run_epoch(self, **options: Any) -> None:
        """As SFTTrainer, while there are steps to make."""
        if self.control.should_training_stop or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(**options)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As SFTTrainer, with the sums begun anew."""
        self._nats = self._tokens = 0.0
        return super().evaluate(*args, **kwargs)

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As SFTTrainer, adding what this batch holds."""
        prediction = super().prediction_step(model, inputs, *args, **kwargs)
        tokens = int((inputs["labels"][:, 1:] != IGNORED).sum())
        if tokens:
            self._nats += float(prediction[0]) * tokens
            self._tokens += tokens
        return prediction

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """As SFTTrainer, under module names that peft knows: an adapter would otherwise be an empty file."""
        with wrappers_off(self.model):
            super()._save(output_dir, state_dict)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As SFTTrainer, with the loss of an evaluation put right before anyone sees it."""
        if "eval_loss" in logs:
            sums = torch.tensor([self._nats, self._tokens], dtype=torch.float32, device=self.args.device)
            nats, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
            logs["eval_loss"] = nats / tokens if tokens else float("nan")
        super().log(logs, start_time)
