"""TRL's trainer, with losses in which each token counts the same, and once; and checkpoints that load anywhere.

The Trainer averages the means of batches, so that with short answers among long ones the number depends on the
batch size, and is not the one that `trainers.training.evaluate` gives (3.24 against 1.95 on 20 real conversations).

Several processes take as many batches each, and accelerate fills the last ones of an epoch up with rows from its
beginning. Those carry no label here, so that several processes learn what one does, and evaluate what it would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer

from trainers.training.cpu_head import answers_only
from trainers.training.gather import wrappers_off
from trainers.training.other_form import is_in_shards, state_in_form, without_shards
from trainers.training.rendering import IGNORED
from trainers.training.router_loss import experts_counted, without_experts
from trainers.training.sight import PICTURES


def only_first(batch: dict[str, Any], rows: int, batch_rows: int) -> dict[str, Any]:
    """The batch of `batch_rows` rows with no label beyond the first `rows`; none at all where `rows` is 0 or less.

    Rows that were joined to one are told apart by where positions begin anew. Packed rows, several to a batch, are
    not: they stay as they are.
    """
    labels, first = batch["labels"], max(rows, 0)
    if first >= batch_rows:
        return batch
    labels = labels.clone()
    if len(labels) == batch_rows:
        labels[first:] = IGNORED
    else:
        begins = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
        if len(begins) == batch_rows:
            labels[:, begins[first] :] = IGNORED
    return {**batch, "labels": labels}


class TokenLossTrainer(SFTTrainer):
    """SFTTrainer whose `eval_loss` is nats per supervised token over all ranks.

    A resume of a run that has made all its steps, or had ended early, makes none: the Trainer looks for the end only
    after a step.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Classes that read images say that their own losses take no count of tokens. This loss is TRL's, which does;
        # without one, each micro-batch and each process would weigh the same, however few answers it holds.
        self.model_accepts_loss_kwargs = True
        if without_experts(self.model.config):
            # TRL goes by whether the family has such a loss, and asks for router logits that are not there.
            self.aux_loss_enabled = self.model.config.get_text_config().output_router_logits = False

    @property
    def _total_train_tokens(self) -> int:
        """TRL's count, kept where checkpoints keep it: a resume counts on, a trial before the run counts apart."""
        tokens: int = self.state.num_input_tokens_seen
        return tokens

    @_total_train_tokens.setter
    def _total_train_tokens(self, tokens: int) -> None:
        self.state.num_input_tokens_seen = tokens

    _signature_columns: list[str]
    is_fsdp_enabled: bool
    """Whether FSDP splits the model; the Trainer sets it."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """As SFTTrainer, without the work that a CPU would do for positions that have no label."""
        with answers_only(), experts_counted(self.model.config):
            return super().compute_loss(*args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        """As SFTTrainer, with the column that names the pictures of a row."""
        super()._set_signature_columns_if_needed()
        columns: list[str] = self._signature_columns
        if PICTURES not in columns:
            columns.append(PICTURES)

    def _run_epoch(self, **options: Any) -> None:
        """As SFTTrainer, while there are steps to make."""
        if self.control.should_training_stop or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(**options)

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
        """As SFTTrainer, also from a checkpoint that was written without shards and is gone on with in shards."""
        if resume_from_checkpoint and self.is_fsdp_enabled and not is_in_shards(Path(resume_from_checkpoint)):
            # Before FSDP wraps the model, which then shares what rank 0 holds.
            self.is_fsdp_enabled = False
            super()._load_from_checkpoint(resume_from_checkpoint)
            self.is_fsdp_enabled = True
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As SFTTrainer, whichever form the checkpoint has."""
        in_shards = is_in_shards(Path(resume_from_checkpoint))
        if self.is_fsdp_enabled == in_shards:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        elif in_shards:
            with without_shards(Path(resume_from_checkpoint)) as plain:
                super()._load_from_checkpoint(str(plain), model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """As SFTTrainer, whichever form the checkpoint has."""
        if checkpoint is None or self.is_deepspeed_enabled or self.is_fsdp_enabled == is_in_shards(Path(checkpoint)):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        with state_in_form(
            Path(checkpoint), self.model, self.optimizer, in_shards=self.is_fsdp_enabled
        ) as in_own_form:
            super()._load_optimizer_and_scheduler(str(in_own_form))

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """As SFTTrainer, without learning twice from the rows that fill the last batch of an epoch up."""
        once = (self._once(batch, len(self.train_dataset), self._train_batch_size) for batch in epoch_iterator)
        return super().get_batch_samples(once, num_batches, device)

    def _once(self, batch: dict[str, Any], rows: int, batch_rows: int) -> dict[str, Any]:
        over = rows % (batch_rows * self.args.world_size)
        if self.args.world_size == 1 or not over or not self.accelerator.gradient_state.end_of_dataloader:
            return batch
        return only_first(batch, over - self.args.process_index * batch_rows, batch_rows)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As SFTTrainer, with the sums begun anew."""
        self._rows = len(kwargs.get("eval_dataset") or (args[0] if args else None) or self.eval_dataset)
        self._nats = self._tokens = 0.0
        return super().evaluate(*args, **kwargs)

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As SFTTrainer, adding what this batch holds."""
        inputs = self._once(inputs, self._rows, self.args.eval_batch_size)
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
