"""Batch arithmetic: from examples to rows, optimizer steps and micro-batches. Pure: numbers in, numbers out.

A row is one sequence of a batch: one example, or several when examples are packed. A step is one optimizer step over
all devices.

    examples -> (packing) -> rows of an epoch -> (rows of a step, epochs) -> steps of the run
                             rows of a step / devices -> micro-batch x accumulation
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from advisor.estimate.rates import PACKED_FILL
from trainers.plan import TrainingPlan
from trainers.plan_parts import EVAL_FRACTION

USEFUL_TOKENS_PER_FORWARD = 16_384
"""A larger micro-batch than this many tokens no longer makes a GPU faster; it only takes memory."""
USEFUL_TOKENS_PER_FORWARD_CPU = 2_048


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """What batch arithmetic has to know of the data. None: not known."""

    count: int | None = None
    mean_tokens: float | None = None
    eval_fraction: float = EVAL_FRACTION
    """Part of them that is kept back for evaluation; 0 where another set is named."""
    are_split: bool = False
    """Whether an example longer than a sequence becomes several of them, as plain text does, and is not cut."""

    @property
    def trained(self) -> int | None:
        """Examples that train: those that are not kept back for evaluation."""
        return None if self.count is None else math.ceil(self.count * (1 - self.eval_fraction))


class RunLength(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows a step takes and how many steps the run has. None: not known (yet)."""

    rows_per_step: int | None = None
    num_steps: int | None = None

    def facts(self) -> dict[str, Any]:
        """As the facts that rules read; what is not known is absent."""
        values = {"plan.global_batch_size": self.rows_per_step, "plan.num_steps": self.num_steps}
        return {path: value for path, value in values.items() if value is not None}


def examples_per_row(plan: TrainingPlan, examples: Examples) -> float:
    """Examples that one row holds: 1, or how many a packed row takes on average."""
    if not plan.packing or not examples.mean_tokens:
        return 1.0
    return max(1.0, plan.max_seq_len * PACKED_FILL / min(examples.mean_tokens, plan.max_seq_len))


def rows_per_epoch(plan: TrainingPlan, examples: Examples) -> int | None:
    """Rows of one pass over the examples that train; None when their number is not known."""
    if examples.trained is None:
        return None
    return max(1, math.ceil(examples.trained * _pieces(plan, examples) / examples_per_row(plan, examples)))


def _pieces(plan: TrainingPlan, examples: Examples) -> float:
    """Sequences that one example becomes on average, at least: texts of unequal length make a few more."""
    if not examples.are_split or not examples.mean_tokens:
        return 1.0
    return max(1.0, examples.mean_tokens / plan.max_seq_len)


def rows_per_step(plan: TrainingPlan, examples: Examples, examples_per_step: int) -> int:
    """Rows of one optimizer step: the examples wished for, as rows, the same number of them on every device."""
    rows = max(1, round(examples_per_step / examples_per_row(plan, examples)))
    return math.ceil(rows / plan.num_gpus) * plan.num_gpus


def num_steps(plan: TrainingPlan, examples: Examples, rows_of_a_step: int) -> int | None:
    """Optimizer steps of the whole run, at least 1; None when the number of examples is not known."""
    rows = rows_per_epoch(plan, examples)
    if rows is None:
        return None
    return plan.max_steps or max(1, math.ceil(rows * plan.num_epochs / rows_of_a_step))


def typical_row_tokens(plan: TrainingPlan, examples: Examples) -> int:
    """Tokens of a usual row: the sequence length when packed, else the mean length where it is known."""
    if plan.packing or not examples.mean_tokens:
        return plan.max_seq_len
    return min(plan.max_seq_len, max(1, math.ceil(examples.mean_tokens)))


def useful_rows(plan: TrainingPlan, examples: Examples) -> int:
    """The largest micro-batch that still makes the device faster, at least 1."""
    if plan.packing and plan.attention != "flash2":
        return 1  # a micro-batch of packed rows is one long row, whose block mask grows with its square
    on_cpu = plan.accelerator == "cpu"
    tokens = USEFUL_TOKENS_PER_FORWARD_CPU if on_cpu else USEFUL_TOKENS_PER_FORWARD
    return max(1, tokens // typical_row_tokens(plan, examples))


def micro_batch_sizes(plan: TrainingPlan, examples: Examples, rows_per_device: int) -> Iterator[int]:
    """Micro-batches worth trying for a step of `rows_per_device`, the largest first, 1 last.

    Forwards of a step are of equal size, so that each divides the step; without accumulation any size makes a step.
    """
    for size in range(min(rows_per_device, useful_rows(plan, examples)), 1, -1):
        if plan.optimizer_in_backward or rows_per_device % size == 0:
            yield size
    yield 1


def accumulation_steps(plan: TrainingPlan, rows_per_device: int, micro_batch_size: int) -> int:
    """Forwards of one optimizer step; always 1 when the optimizer steps in backward."""
    return 1 if plan.optimizer_in_backward else max(1, rows_per_device // micro_batch_size)
