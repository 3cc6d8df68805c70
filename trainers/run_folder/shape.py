"""The types of what a run folder records, held against what is read: readers of a record need not doubt them."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypedDict, get_type_hints

import msgspec
from msgspec import Meta

from trainers.scores.measures import Scores

Count = Annotated[int, Meta(ge=0, le=2**62)]
Code = Annotated[int, Meta(ge=-(2**31), le=2**31)]


class Losses(TypedDict, total=False):
    """Training loss at the first and the last log."""

    first: float | None
    last: float | None


class Memory(TypedDict, total=False):
    """Peaks in bytes."""

    predicted_peak_bytes: Count | None
    measured_peak_bytes: Count | None


class Parameters(TypedDict, total=False):
    """Counts."""

    trainable: Count | None
    total: Count | None


class Failure(TypedDict, total=False):
    """How a run failed."""

    phase: str | None
    what: str | None
    why: str | None
    fix: str | None


class Score(TypedDict, total=False):
    """One model on the part that was kept back."""

    loss: float | None
    perplexity: float | None
    exact: Count | None
    exact_of: Count | None


class Evaluation(TypedDict, total=False):
    """Before and after."""

    base: Score | None
    tuned: Score | None


class Delivered(TypedDict, total=False):
    """Which step the result is, and why."""

    step: Count
    last_step: Count
    reason: str
    measure: str
    value: float | None
    last_value: float | None
    stopped_early: bool


class Gap(TypedDict, total=False):
    """How far a merged model is from its adapter."""

    kl: float
    equal_top_tokens: float


class Merge(TypedDict, total=False):
    """What a merge recorded."""

    gap: Gap | None


class Record(TypedDict, total=False):
    """The keys of run.json that somebody reads, each with its type; other keys are kept as they are."""

    schema: str
    method: str
    model: str
    device: str
    dataset: str | None
    seed: int
    started: str
    exit_state: str | None
    phase: str | None
    exit_code: Code | None
    failure: Failure | None
    finished: str
    steps: Count | None
    seconds: dict[str, float]
    total_seconds: float
    total_steps: Count | None
    losses: Losses
    delivered: Delivered | None
    eval_loss_before: float | None
    eval_loss_after: float | None
    tokens_per_second: float | None
    memory: Memory
    parameters: Parameters
    evaluation: Evaluation | None
    scores: Scores | None
    retention: Scores | None
    data: dict[str, Any]
    versions: dict[str, str | None]
    merge: Merge | None
    attempts: list[dict[str, Any]]


_TYPES = get_type_hints(Record, include_extras=True)


def has_shape(key: str, value: Any) -> bool:
    """Whether this trainer would have written the value under this key of run.json."""
    try:
        msgspec.convert(value, _TYPES.get(key, Any))
    except (msgspec.ValidationError, RecursionError, OverflowError):
        return False
    return True


def number(value: Any) -> float | None:
    """A finite number, such as a metric; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None
