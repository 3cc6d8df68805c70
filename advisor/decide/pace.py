"""How long a plan takes on the devices at hand, and which of several plans takes least."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from advisor.decide.batch import num_steps
from advisor.estimate import estimate_time
from advisor.estimate.result import TimeEstimate
from advisor.estimate.runtime import Calibration
from advisor.estimate.time import MeasuredCard, measured_card
from advisor.probe import lookup
from advisor.probe.catalogue import Card
from advisor.probe.hardware import Gpu
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from advisor.decide.fill import Context


def predicted_time(plan: TrainingPlan, context: Context) -> TimeEstimate | None:
    """The duration of a plan, as fast as runs on this machine were; None where the device's speed is not known.

    Cards of several kinds wait for the slowest at each step.
    """
    facts, gpus = context.facts, context.devices.gpus
    kinds = {(gpu.name, gpu.total_bytes): gpu for gpu in gpus}
    steps = num_steps(plan, context.examples, plan.global_batch_size)
    slowest: TimeEstimate | None = None
    for card in [card_of(gpu) for gpu in kinds.values()] or [None]:
        time = estimate_time(
            context.model,
            plan,
            card,
            num_steps=steps,
            len_mean=facts.get("data.len_mean"),
            cpu_cores=facts.get("host.cpu_cores"),
            cpu_measured=context.devices.cpu,
        )
        if time is None:
            return None
        if slowest is None or time.step_seconds > slowest.step_seconds:
            slowest = time
    return corrected(slowest, context.paces.get(plan.method)) if slowest is not None else None


def corrected(time: TimeEstimate, pace: Calibration | None) -> TimeEstimate:
    """A prediction by what was measured: the rate by its factor, the ends by its spread."""
    if pace is None:
        return time
    total = time.total_seconds / pace.factor if time.total_seconds is not None else None
    return msgspec.structs.replace(
        time,
        tokens_per_second=time.tokens_per_second * pace.factor,
        step_seconds=time.step_seconds / pace.factor,
        total_seconds=total,
        low_seconds=total / (1 + pace.spread) if total is not None else None,
        high_seconds=total * (1 + pace.spread) if total is not None else None,
        gpu_hours=time.gpu_hours / pace.factor if time.gpu_hours is not None else None,
        basis=pace.basis,
    )


def seconds_to_compare(plan: TrainingPlan, context: Context) -> float:
    """Seconds of the run, or of one token where the amount of data is not known; infinite for an unknown device."""
    time = predicted_time(plan, context)
    if time is None:
        return math.inf
    return time.total_seconds if time.total_seconds is not None else 1 / time.tokens_per_second


def card_of(gpu: Gpu) -> Card | MeasuredCard | None:
    """The catalogue's row, or what was measured of a card that it does not know; None for neither.

    A MIG instance computes with its share of the card.
    """
    card = lookup(gpu.name, gpu.total_bytes)
    if card is None and gpu.measured is not None:
        return measured_card(gpu.measured)
    share = gpu.compute_share
    if card is None or share is None:
        return card

    def part(rate: float | None) -> float | None:
        return None if rate is None else rate * share

    return msgspec.structs.replace(
        card,
        bf16_dense_tflops=part(card.bf16_dense_tflops),
        fp16_dense_tflops=part(card.fp16_dense_tflops),
        memory_bandwidth_gbs=part(card.memory_bandwidth_gbs),
    )
