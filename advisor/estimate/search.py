"""The largest micro-batch, length, rank and model that fit: bisection over the estimators.

Every quantity that is searched can only raise the need (a property that the tests hold), so bisection is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from advisor.estimate.memory import Estimator
from advisor.estimate.stacks import OURS, Stack
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


def largest(fits: Callable[[int], bool], ceiling: int) -> int:
    """The largest whole number from 1 to `ceiling` for which `fits` holds; 0 when not even 1 does."""
    if not fits(1):
        return 0
    good, step = 1, 1
    while good + step <= ceiling and fits(good + step):
        good += step
        step *= 2
    bad = min(good + step, ceiling + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def largest_micro_batch(
    model: ModelSpec,
    plan: TrainingPlan,
    available_bytes: int,
    *,
    stack: Stack = OURS,
    sm: int | None = None,
    ceiling: int = 1024,
) -> int:
    """Sequences of max_seq_len in one forward of one GPU; 0 when not even one fits."""
    estimator = Estimator(model, plan, stack, sm=sm)
    return largest(lambda size: estimator.need_bytes(size) <= available_bytes, ceiling)


def largest_seq_len(
    model: ModelSpec,
    plan: TrainingPlan,
    available_bytes: int,
    *,
    stack: Stack = OURS,
    sm: int | None = None,
    multiple: int = 64,
) -> int:
    """Tokens of one sequence at the plan's micro-batch, a multiple of `multiple`; 0 when nothing fits.

    Bounded by the model's max_position_embeddings, or by 1,048,576 tokens.
    """
    estimator = Estimator(model, plan, stack, sm=sm)
    ceiling = (model.max_position_embeddings or 1_048_576) // multiple
    return multiple * largest(lambda n: estimator.need_bytes(None, n * multiple) <= available_bytes, max(1, ceiling))


def largest_rank(
    model: ModelSpec, plan: TrainingPlan, available_bytes: int, *, stack: Stack = OURS, sm: int | None = None
) -> int:
    """The largest LoRA rank that fits; 0 when none does or the method has none."""
    if plan.lora_rank is None:
        return 0

    def fits(rank: int) -> bool:
        changed = msgspec.structs.replace(plan, lora_rank=rank)
        return Estimator(model, changed, stack, sm=sm).need_bytes() <= available_bytes

    return largest(fits, model.hidden_size)


def largest_model(
    models: Iterable[ModelSpec],
    plan: TrainingPlan,
    available_bytes: int,
    *,
    stack: Stack = OURS,
    sm: int | None = None,
) -> ModelSpec | None:
    """Of these models the one with the most parameters that fits under the plan; None when none fits."""
    by_size = sorted(models, key=lambda model: model.num_params, reverse=True)
    return next(
        (model for model in by_size if Estimator(model, plan, stack, sm=sm).need_bytes() <= available_bytes), None
    )
