"""One candidate a method: the fastest of its variants that fit and that no rule vetoes, judged whole.

Forms of a method (weights in fp32, in bf16) are taken in their order, for they differ in what is learnt; within one
predicted time decides, and where no time is known the order does. Host memory is looked at last: it is taken where
nothing else can be used, or where it is predicted to win more than its share of the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.decide.batch import RunLength, num_steps
from advisor.decide.fill import Context, explain_plan, fill_plan, size_plan
from advisor.decide.pace import predicted_time, seconds_to_compare
from advisor.decide.recommendation import Candidate, TriedVariant
from advisor.decide.variants import Variant, variants
from advisor.estimate import estimate_storage
from advisor.estimate.host import merge_host_bytes
from advisor.estimate.result import MemoryEstimate, StorageEstimate
from advisor.estimate.storage import all_variants_bytes
from advisor.model.params import trainable_params
from rules.facts import BY_PATH
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.seen_to_run import was_seen_to_step

OFFLOAD_MUST_WIN = 0.02
"""The part of the time that host memory must win where the devices hold the plan too: below it the bus is not worth
its risk, and above it a larger memory would make a plan slower."""

LOWER_RANKS = (256, 128, 64, 32, 16, 8, 4)
"""Ranks to fall back on where memory holds no more, as rule HYP-88 steps them for storage."""

PLAN_FACTS = tuple((f"plan.{name}", name) for name in TrainingPlan.__struct_fields__ if f"plan.{name}" in BY_PATH)


class _SizedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with its plan, and what stands against it."""

    variant: Variant
    plan: TrainingPlan
    run_length: RunLength
    need_bytes: int
    fits: bool
    seconds: float
    """What its time is compared by; infinite where the speed of the device is not known."""
    candidate: Candidate | None = None
    """Only a plan that fits is judged at once; without traces only as far as the fastest that can be used."""

    @property
    def nearness(self) -> tuple[bool, int]:
        """Sort key of variants that cannot be used: first those that fit, then those that need the least."""
        return not self.fits, self.need_bytes


def build_candidate(method: Method, context: Context, *, traced: bool = True) -> Candidate:
    """The fastest usable variant of the best form of one method, else the one that is nearest to being usable.

    Where no variant fits with the rank that task and data ask for, the largest lower rank with which one does.
    """
    tried, chosen = _fastest(method, context, traced)
    if chosen is None:
        for lowered in _with_lower_ranks(tried, context):
            tried_lower, chosen = _fastest(method, lowered, traced)
            if chosen is not None:
                tried, context = tried_lower, lowered
                break
    shown = chosen or min(tried, key=lambda sized: sized.nearness)
    candidate = shown.candidate or judge_plan(shown.plan, context)
    if traced:
        plan, settings = explain_plan(candidate.plan, shown.variant, context, shown.run_length)
        candidate = msgspec.structs.replace(candidate, plan=plan, settings=settings)
    variants_tried = tuple(_tried_variant(sized, shown, context, traced) for sized in tried)
    return msgspec.structs.replace(candidate, tried_variants=variants_tried)


def build_played(method: Method, context: Context, *, traced: bool = True) -> Candidate:
    """The same with its memory by a replay of the allocator.

    What is shown is played, so that the rules are asked with the figures that stand beside their answers; without
    traces, only what is too large by blocks that the allocator may give back.
    """
    candidate = build_candidate(method, context, traced=traced)
    available = candidate.available_bytes
    may_fit = not candidate.fits and available is not None and candidate.memory.allocated.high <= available
    return with_replay(candidate, context) if traced or may_fit else candidate


def _with_lower_ranks(tried: list[_SizedVariant], context: Context) -> Iterator[Context]:
    """The context with the memory's limit on each lower rank, the largest first; none where rank is not what is in
    the way: a plan without rank or with a fixed one, and one that cannot be used with the least either.

    A variant that fits the cards may still lack host memory: then one that does not fit may with a lower rank.
    """
    leanest_first = sorted(tried, key=lambda sized: sized.need_bytes)
    unfit = [sized for sized in leanest_first if not sized.fits] or leanest_first[:1]
    rank = unfit[0].plan.lora_rank
    if rank is None or "lora_rank" in context.overrides or unfit[0].plan.start_adapter:
        return
    lower = [msgspec.structs.replace(context, rank_in_memory=each) for each in LOWER_RANKS if each < rank]
    if lower and any(_can_be_used(sized.variant, lower[-1], sized.run_length) for sized in unfit):
        yield from lower


def _can_be_used(variant: Variant, context: Context, assumed: RunLength) -> bool:
    sized = _sized_variant(variant, context, assumed)
    return not _note(_judged(sized, context), context)


def _fastest(method: Method, context: Context, traced: bool) -> tuple[list[_SizedVariant], _SizedVariant | None]:
    """All variants that were tried, and the fastest usable one of the best form; None where there is none."""
    tried: list[_SizedVariant] = []
    chosen: _SizedVariant | None = None
    run_length = RunLength()
    for (form, _), group in groupby(variants(method, context.devices), key=_form_and_place):
        if chosen is not None and form != chosen.variant.form:
            continue
        of_form = []
        for variant in group:
            sized = _sized_variant(variant, context, run_length)
            run_length = sized.run_length
            of_form.append(sized)
        if traced:
            of_form = [_judged(sized, context) for sized in of_form]
        tried += of_form
        by_time = (_judged(sized, context) for sized in sorted(of_form, key=lambda sized: sized.seconds))
        usable = next((sized for sized in by_time if not _note(sized, context)), None)
        if usable is not None:
            chosen = _sooner(chosen, usable)
    return tried, chosen


def _judged(sized: _SizedVariant, context: Context) -> _SizedVariant:
    if not sized.fits or sized.candidate is not None:
        return sized
    return msgspec.structs.replace(sized, candidate=judge_plan(sized.plan, context))


def _form_and_place(variant: Variant) -> tuple[str, bool]:
    return variant.form, variant.axes.cpu_offload


def _sooner(on_devices: _SizedVariant | None, later: _SizedVariant) -> _SizedVariant:
    """The one to take of the fastest variant so far and the fastest of the next group, which uses host memory."""
    if on_devices is None or later.seconds < (1 - OFFLOAD_MUST_WIN) * on_devices.seconds:
        return later
    return on_devices


def _sized_variant(variant: Variant, context: Context, assumed: RunLength) -> _SizedVariant:
    filled = fill_plan(variant, context, assumed)
    plan, need_bytes = size_plan(filled, variant, context)
    available = context.devices.available_bytes
    fits = available is None or need_bytes <= available
    return _SizedVariant(
        variant=variant,
        plan=plan,
        run_length=filled.run_length,
        need_bytes=need_bytes,
        fits=fits,
        seconds=seconds_to_compare(plan, context) if fits else math.inf,
    )


def _note(sized: _SizedVariant, context: Context) -> str:
    """What stands against a variant; empty for one that can be used."""
    if not sized.fits:
        return tr("needs more than the free memory")
    if sized.candidate is not None and sized.candidate.vetoes:
        return sized.candidate.vetoes[0].title
    if not _within_share(sized, context):
        return tr("takes more than {share:.0%} of the free memory", share=sized.variant.share)
    return ""


def _within_share(sized: _SizedVariant, context: Context) -> bool:
    available = context.devices.available_bytes
    return available is None or sized.need_bytes <= sized.variant.share * available


def _tried_variant(sized: _SizedVariant, chosen: _SizedVariant, context: Context, traced: bool) -> TriedVariant:
    note = _note(sized, context) if traced else ""
    if traced and not note and sized is not chosen:
        note = _of_its_time(sized, chosen)
    return TriedVariant(
        variant=sized.variant.name,
        device_high_bytes=sized.need_bytes,
        fits=sized.fits and _within_share(sized, context),
        cpu_offload=sized.plan.cpu_offload,
        note=note,
    )


def _of_its_time(sized: _SizedVariant, chosen: _SizedVariant) -> str:
    if not math.isfinite(sized.seconds):
        return tr("tried later")
    share = sized.seconds / chosen.seconds
    if share < 1:
        return tr("host memory would win less than {share:.0%} of the time", share=OFFLOAD_MUST_WIN)
    return tr("predicted to take {slower:.2f} times as long", slower=share)


def judge_plan(plan: TrainingPlan, context: Context) -> Candidate:
    """Estimate and judge one complete plan; its allocator is not played, for many are judged (see `with_replay`)."""
    memory = context.estimator(plan).estimate(replayed=False)
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
    return msgspec.structs.replace(candidate, time=predicted_time(candidate.plan, context))


def with_replay(candidate: Candidate, context: Context) -> Candidate:
    """The same candidate with its memory by a replay of the allocator: one that fitted fits still.

    One that did not may fit, where the allocator gives cached blocks back.
    """
    memory = context.estimator(candidate.plan).estimate()
    available = context.devices.available_bytes
    return msgspec.structs.replace(
        candidate,
        memory=memory,
        fits=available is None or memory.device.high <= available,
        plan=msgspec.structs.replace(candidate.plan, predicted_peak_bytes=memory.device.high),
    )


def plan_facts(
    plan: TrainingPlan, memory: MemoryEstimate, storage: StorageEstimate, fits: bool, context: Context
) -> dict[str, Any]:
    """The `plan.*` facts of one complete plan."""
    facts: dict[str, Any] = {path: getattr(plan, name) for path, name in PLAN_FACTS}
    available = context.devices.available_bytes
    num_variants = context.facts.get("storage.variants") or 1
    facts |= {
        "plan.need_bytes": memory.device.high,
        "plan.need_share": memory.device.high / available if available else None,
        "plan.global_batch_size": plan.global_batch_size,
        "plan.num_steps": num_steps(plan, context.examples, plan.global_batch_size),
        "plan.merge": plan.delivery.artifact == "merged_model",
        "plan.engine": plan.delivery.engine,
        "plan.weights": plan.delivery.weights,
        "plan.fits": fits,
        "plan.optimizer_steps": was_seen_to_step(plan.optimizer, plan.sharding),
        "plan.host_bytes": memory.host_bytes,
        "plan.trainable_params": trainable_params(context.model, plan),
        "plan.artifact_bytes": storage.artifact_bytes,
        "plan.variants_bytes": all_variants_bytes(plan, storage, num_variants),
        "plan.merge_host_bytes": merge_host_bytes(context.model)
        if plan.delivery.artifact == "merged_model"
        else None,
        "plan.checkpoint_bytes": storage.checkpoint_bytes,
        "plan.disk_bytes": storage.peak_output_bytes,
    }
    return {path: value for path, value in facts.items() if value is not None}
