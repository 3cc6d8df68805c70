"""Whether rows that share one row of a batch are trained as if each stood alone.

What keeps them apart is the model's own code: block masks from position ids that begin anew, or a kernel that is told
where each row ends. Code that looks at neither mixes them without an error, so it is tried on the user's own model,
with the run's own collator, before anything is trained.

Seen on SmolLM2-135M with four rows: in fp32 answers packed and apart differ by less than 1e-5, in bf16 in the middle
by 0 and in single tokens by up to 0.09; without the block mask in the middle by 0.57 to 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainingArguments

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.training.ranks import largest_of_ranks

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTTrainer

    from trainers.plan import TrainingPlan

ROWS = 4
TOKENS = 64
"""So many of each row: what a later row sees of an earlier one shows at its beginning."""
ROUNDING = {"fp32": 0.01, "bf16": 0.05, "fp16": 0.05}
"""By dtype, the most that sums in another order may change answers, as a part of their spread; TF32 is fp32 here."""
PARTS = 10**9
"""Ranks agree by whole numbers."""


def looks_at(plan: TrainingPlan, trainer: SFTTrainer) -> bool:
    """Whether rows of a plan share a row of a batch: packed ones, and those laid end to end instead of padded."""
    return plan.packing or bool(getattr(trainer.args, "padding_free", False))


class PackedApart(TrainerCallback):
    """Holds the answers to rows in one row against the answers to each alone, once, after the first step.

    Raises PlanRefused on every process where they differ by more than rounding on any of them.
    """

    def __init__(self, plan: TrainingPlan, trainer: SFTTrainer) -> None:
        self.plan, self.trainer = plan, trainer
        self.rows = rows_of(trainer.train_dataset)
        self.difference: float | None = None

    def on_step_end(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        """Compare once: before the first step FSDP has nothing to gather with."""
        if self.difference is not None or len(self.rows) < 2:
            return
        own = difference(self.trainer, self.rows)
        # not a number counts as different, as the largest number would
        most = largest_of_ranks(int(own * PARTS) if own < PARTS else PARTS * PARTS, args.device)
        self.difference = most / PARTS
        if self.difference <= max(ROUNDING[self.plan.compute_dtype], ROUNDING[self.plan.weights_dtype]):
            return
        raise PlanRefused(
            tr(
                "examples that share a row see each other: the model's answers to them differ by {difference:.2g} of "
                "their spread from those to each alone",
                difference=self.difference,
            ),
            why=tr(
                "with {attention} attention this model's code does not keep them apart, and it would learn from text "
                "that is not there when it is used",
                attention=self.plan.attention,
            ),
            fix=tr("set packing = false") if self.plan.packing else tr("set micro_batch_size = 1"),
        )


def rows_of(dataset: Dataset) -> list[list[int]]:
    """The first examples of the row that holds most of them, or of the dataset where each is a row; cut to TOKENS."""
    if "seq_lengths" not in dataset.column_names:
        return [ids[:TOKENS] for ids in dataset[:ROWS]["input_ids"]]
    import pyarrow.compute as pc

    held = pc.list_value_length(dataset.with_format("arrow")["seq_lengths"])
    fullest = dataset[pc.index(held, pc.max(held)).as_py()]
    rows, begin = [], 0
    for length in fullest["seq_lengths"][:ROWS]:
        rows.append(list(fullest["input_ids"][begin : begin + min(length, TOKENS)]))
        begin += length
    return rows


def difference(trainer: SFTTrainer, rows: list[list[int]]) -> float:
    """How far the answers to rows after the first in one row are from those to each alone, of their spread.

    The largest over the rows, of each the middle over its tokens: one token whose expert or last bit fell otherwise
    says nothing.
    """
    model = trainer.model_wrapped
    trains = model.training
    model.eval()
    try:
        with torch.no_grad():
            joined = _answers(trainer, model, rows).split([len(row) for row in rows])
            alone = [_answers(trainer, model, [row]) for row in rows]
    finally:
        model.train(trains)
    return float(torch.stack([_apart(one, other) for one, other in zip(joined[1:], alone[1:], strict=True)]).max())


def _answers(trainer: SFTTrainer, model: torch.nn.Module, rows: list[list[int]]) -> torch.Tensor:
    """Logits of each token, as the run's collator hands rows to the model."""
    batch = trainer.data_collator([{"input_ids": row, "labels": row, "seq_lengths": [len(row)]} for row in rows])
    placed = {name: value.to(trainer.args.device) if hasattr(value, "to") else value for name, value in batch.items()}
    placed.pop("labels")
    logits: torch.Tensor = model(**placed, use_cache=False).logits[0]
    return logits.float()


def _apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    spread = (other - other.mean(dim=-1, keepdim=True)).norm(dim=-1)
    return ((one - other).norm(dim=-1) / spread).median()
