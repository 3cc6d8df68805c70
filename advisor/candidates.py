"""One candidate a method: the first of its variants that fits and that no rule vetoes, judged whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from advisor.estimate import estimate_storage, estimate_time
from advisor.estimate.result import MemoryEstimate, StorageEstimate
from advisor.filling import Context, explain_plan, fill_plan, num_steps, row_count, size_plan
from advisor.model.params import trainable_params
from advisor.probe import lookup
from advisor.probe.catalogue import Card
from advisor.probe.hardware import Gpu
from advisor.recommendation import Attempt, Candidate
from advisor.variants import Variant, variants
from rules.facts import BY_PATH
from trainers.plan import Method, TrainingPlan

PLAN_FACTS = tuple((f"plan.{name}", name) for name in TrainingPlan.__struct_fields__ if f"plan.{name}" in BY_PATH)


class _Try(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that was sized, and what stands against it."""

    variant: Variant
    plan: TrainingPlan
    steps: dict[str, Any]
    need_bytes: int
    fits: bool
    judged: Candidate | None = None
    """Only a plan that fits is judged at once."""


def build_candidate(method: Method, context: Context, *, traced: bool = True) -> Candidate:
    """The best variant of one method, else the one that is nearest to being usable."""
    attempts: list[Attempt] = []
    nearest: _Try | None = None
    steps: Mapping[str, Any] = {}
    for variant in variants(method, context.devices):
        tried = _try(variant, context, steps)
        steps = tried.steps
        attempts.append(_attempt(tried, context))
        usable = not attempts[-1].note
        if usable or nearest is None or _nearer(tried, nearest):
            nearest = tried
        if usable:
            break
    assert nearest is not None, f"{method} has no variant"
    candidate = nearest.judged or judge_plan(nearest.plan, context)
    if traced:
        plan, settings = explain_plan(candidate.plan, nearest.variant, context, nearest.steps)
        candidate = msgspec.structs.replace(candidate, plan=plan, settings=settings)
    return msgspec.structs.replace(candidate, attempts=tuple(attempts))


def _try(variant: Variant, context: Context, steps: Mapping[str, Any]) -> _Try:
    values, steps = fill_plan(variant, context, steps)
    plan, need_bytes = size_plan(values, variant, context)
    available = context.devices.available_bytes
    fits = available is None or need_bytes <= available
    judged = judge_plan(plan, context) if fits else None
    return _Try(variant=variant, plan=plan, steps=dict(steps), need_bytes=need_bytes, fits=fits, judged=judged)


def _attempt(tried: _Try, context: Context) -> Attempt:
    available = context.devices.available_bytes
    within = available is None or tried.need_bytes <= tried.variant.share * available
    note = ""
    if not tried.fits:
        note = "needs more than the free memory"
    elif tried.judged is not None and tried.judged.vetoes:
        note = tried.judged.vetoes[0].title
    elif not within:
        note = f"takes more than {tried.variant.share:.0%} of the free memory"
    return Attempt(
        variant=tried.variant.name, device_high_bytes=tried.need_bytes, fits=tried.fits and within, note=note
    )


def _nearer(tried: _Try, other: _Try) -> bool:
    return (not tried.fits, tried.need_bytes) < (not other.fits, other.need_bytes)


def judge_plan(plan: TrainingPlan, context: Context) -> Candidate:
    """Estimate and judge one complete plan."""
    memory = context.estimator(plan).estimate()
    available = context.devices.available_bytes
    fits = available is None or memory.device.high <= available
    storage = estimate_storage(context.model, plan)
    facts = context.facts.values | plan_facts(plan, memory, storage, fits, context)
    vetoes = context.book.judge(facts, effects=("veto",), only_fired=True)
    return Candidate(
        method=plan.method,
        plan=msgspec.structs.replace(plan, predicted_peak_bytes=memory.device.high),
        memory=memory,
        time=None,
        storage=storage,
        available_bytes=available,
        fits=fits,
        score=0,
        vetoes=vetoes,
    )


def with_time(candidate: Candidate, context: Context) -> Candidate:
    """The same candidate with its duration predicted; needs a known card and the amount of data."""
    card = _card(context.devices.gpus[0]) if context.devices.gpus else None
    facts = context.facts
    time = estimate_time(
        context.model,
        candidate.plan,
        card,
        examples=facts.get("data.examples"),
        total_tokens=facts.get("data.total_tokens"),
        len_mean=facts.get("data.len_mean"),
        cpu_cores=facts.get("host.cpu_cores"),
    )
    return msgspec.structs.replace(candidate, time=time)


def _card(gpu: Gpu) -> Card | None:
    """The catalogue's row; a MIG instance computes with its share of the card."""
    card = lookup(gpu.name, gpu.total_bytes)
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


def plan_facts(
    plan: TrainingPlan, memory: MemoryEstimate, storage: StorageEstimate, fits: bool, context: Context
) -> dict[str, Any]:
    """The `plan.*` facts of one complete plan."""
    facts: dict[str, Any] = {path: getattr(plan, name) for path, name in PLAN_FACTS}
    available = context.devices.available_bytes
    variants_kept = context.facts.get("storage.variants") or 1
    rows = row_count(context.facts, {"packing": plan.packing, "max_seq_len": plan.max_seq_len})
    facts |= {
        "plan.global_batch_size": plan.global_batch_size,
        "plan.merge": plan.delivery.artifact == "merged_model",
        "plan.engine": plan.delivery.engine,
        "plan.weights": plan.delivery.weights,
        "plan.need_bytes": memory.device.high,
        "plan.fits": fits,
        "plan.need_share": memory.device.high / available if available else None,
        "plan.host_bytes": memory.host_bytes,
        "plan.trainable_params": trainable_params(context.model, plan),
        "plan.artifact_bytes": storage.artifact_bytes,
        "plan.variants_bytes": storage.artifact_bytes * variants_kept,
        "plan.checkpoint_bytes": storage.checkpoint_bytes,
        "plan.disk_bytes": storage.peak_output_bytes,
    }
    if rows is not None:
        facts["plan.num_steps"] = num_steps(
            rows, {"max_steps": plan.max_steps, "num_epochs": plan.num_epochs}, plan.global_batch_size
        )
    return {path: value for path, value in facts.items() if value is not None}
