"""The answer as one JSON document: first what scripts read, and with `--trace` everything that it was judged by.

Stable: within v2 fields are added, but none is renamed or removed or changes its meaning or unit. Bytes are integers,
durations are seconds, null is "not known". The text under each field is its description in the published schema.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from advisor.decide.afterwards import NextStep
from advisor.decide.recommendation import Candidate, Caution, Change, Recommendation, Verdict
from advisor.report.commandlines import next_commands
from advisor.report.words import cost_usd
from rules.engine import Trace
from trainers.method import Method
from trainers.plan import TrainingPlan

RECOMMENDATION_SCHEMA = "sft-advisor/recommendation/v2"


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted peak of one GPU (of the process on a CPU), as nvidia-smi shows it."""

    low_bytes: int
    """Lower end of the range."""
    likely_bytes: int
    """The most likely peak."""
    high_bytes: int
    """Upper end of the range; whether the plan fits is decided on it."""
    available_bytes: int | None
    """Free memory of the smallest GPU used (RAM on a CPU)."""
    fits: bool
    """Whether `high_bytes` is at most `available_bytes`; true where the latter is not known."""
    peak_phase: str
    """The phase in which the peak falls."""
    parts_bytes: dict[str, int]
    """The likely peak by component; the parts add up to `likely_bytes`."""
    host_bytes: int
    """Peak RAM of all processes of one node."""


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted duration of the run."""

    likely_seconds: int | None
    """The most likely duration."""
    low_seconds: int | None
    """Lower end of the range."""
    high_seconds: int | None
    """Upper end of the range."""
    num_steps: int | None
    """Optimizer steps."""
    tokens_per_second: float
    """Over all GPUs, padding not counted."""
    low_cost_usd: float | None
    """Lower end of what it costs at the place that was named, at its dated price."""
    high_cost_usd: float | None
    """Upper end of the same."""


class DiskSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted space on disk."""

    result_bytes: int
    """What is delivered: the adapter, or the whole model."""
    checkpoint_bytes: int
    """One checkpoint."""
    peak_bytes: int
    """The most that the output folder holds at once."""
    cache_bytes: int
    """Base weights in the cache; 0 where they lie in a folder of the user's."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that spoke for or against a method, or a gate that says not to fine-tune."""

    rule_id: str
    """`sft-advisor explain ID` shows its condition, evidence and sources."""
    message: str
    """What it says, with the figures of this case."""
    fix: str = ""
    """What to do instead, for a gate."""
    weight: int = 0
    """Points for (positive) or against (negative) the method."""
    strength: str
    """How well it is founded: proven, measured, derived, consensus or opinion."""
    sources: tuple[str, ...]
    """Keys of the bibliography."""


class MethodSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One method that was compared."""

    method: Method
    """Its name."""
    standing: Literal["recommended", "possible", "rejected"]
    """Whether it leads, could be used, or cannot be used."""
    high_bytes: int
    """Upper end of its predicted peak memory."""
    likely_seconds: int | None
    """Its predicted duration."""
    points: int
    """Sum of what rules say for and against it."""
    why_not: tuple[str, ...]
    """Why it does not lead; empty for the one that does."""


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The base model."""

    name: str
    """What the trainer loads."""
    num_params: int
    """Parameters, tied ones once."""
    active_params: int
    """Parameters that one token passes through."""
    notes: tuple[str, ...]
    """What it was taken for, and what is unusual about it."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The answer that `sft-advisor --non-interactive` prints."""

    schema: Literal["sft-advisor/recommendation/v2"] = "sft-advisor/recommendation/v2"
    """Name and version of this document."""
    advisor_version: str
    """The version that gave the answer."""
    verdict: Verdict
    """recommended (exit 0), nothing_fits (3), do_not_fine_tune (4), repair_first (5; the plan is for afterwards)."""
    headline: str
    """One sentence that a person can quote."""
    method: Method | None
    """The recommended method; with do_not_fine_tune the one that would be; null when nothing fits."""
    memory: Memory | None
    """Of the plan; of the plan that comes closest when nothing fits."""
    time: Time | None
    """Of the plan; null when the speed of the device is not known."""
    disk: DiskSpace | None
    """Of the plan."""
    reasons: tuple[Reason, ...]
    """Why this method, the weightiest first."""
    repairs: tuple[Caution, ...]
    """With repair_first: what keeps this machine from training, each with its repair."""
    gates: tuple[Reason, ...]
    """Why not to fine-tune, each with what to do instead."""
    warnings: tuple[Caution, ...]
    """What should be known before the plan is used, each with what to do."""
    methods: tuple[MethodSummary, ...]
    """Every method that was compared, the recommended one first."""
    changes: tuple[Change, ...]
    """The smallest changes of one answer that lead to another verdict or method, each verified by judging again."""
    remedies: tuple[str, ...]
    """What would help when nothing fits, the cheapest first."""
    afterwards: tuple[NextStep, ...]
    """What to do once the run has ended: how to evaluate, what may have been forgotten, what comes next."""
    wish_cost: tuple[str, ...]
    """What the wish for a method costs against the advice."""
    commands: dict[str, str]
    """What to paste next: save_plan, launch, export, explain, html."""
    unknown_facts: dict[str, str]
    """Facts that are not known and that rules asked for -> the flag that gives them."""
    model: ModelSummary
    """The base model."""
    answers: dict[str, Any]
    """The answers that it rests on, by question key."""
    plan: TrainingPlan | None
    """The whole plan, as `--save-plan` writes it and `launch` takes it; null when nothing fits."""
    trace: dict[str, Any] | None = None
    """With --trace: every rule with its outcome, every variant tried, all facts, machine and data as they were read.
    Its form is that of the version that printed it."""


def answer_document(result: Recommendation, *, trace: bool = False) -> Answer:
    """The document of a recommendation; `trace` adds the recommendation itself."""
    shown = result.best or (result.rejected[0] if result.rejected else None)
    best = result.best
    return Answer(
        advisor_version=result.advisor_version,
        verdict=result.verdict,
        headline=result.headline,
        method=best.method if best else None,
        memory=_memory(shown) if shown else None,
        time=_time(best, result) if best else None,
        disk=_disk(best) if best else None,
        reasons=tuple(_reason(t) for t in sorted(best.reasons, key=lambda t: -abs(t.weight))) if best else (),
        repairs=result.repairs,
        gates=tuple(map(_reason, result.gates)),
        warnings=result.warnings,
        methods=_methods(result),
        changes=result.changes,
        remedies=result.remedies,
        afterwards=result.afterwards,
        wish_cost=result.wish_cost,
        commands=next_commands(result),
        unknown_facts=result.unknown_facts,
        model=ModelSummary(
            name=result.model.name,
            num_params=result.model.num_params,
            active_params=result.model.active_params,
            notes=result.model.notes,
        ),
        answers={key: view.value for key, view in result.answers.items()},
        plan=best.plan if best else None,
        trace=msgspec.to_builtins(result) if trace else None,
    )


def _memory(candidate: Candidate) -> Memory:
    memory = candidate.memory
    return Memory(
        low_bytes=memory.device.low,
        likely_bytes=memory.device.likely,
        high_bytes=memory.device.high,
        available_bytes=candidate.available_bytes,
        fits=candidate.fits,
        peak_phase=memory.peak_phase,
        parts_bytes={name: num_bytes for name, num_bytes in memory.peak_parts.items() if num_bytes},
        host_bytes=memory.host_bytes,
    )


def _time(candidate: Candidate, result: Recommendation) -> Time | None:
    time = candidate.time
    if time is None:
        return None
    cost = cost_usd(candidate, result.hardware)
    low_cost, high_cost = (round(usd, 2) for usd in cost) if cost else (None, None)
    return Time(
        likely_seconds=_whole(time.total_seconds),
        low_seconds=_whole(time.low_seconds),
        high_seconds=_whole(time.high_seconds),
        num_steps=time.num_steps,
        tokens_per_second=round(time.tokens_per_second, 1),
        low_cost_usd=low_cost,
        high_cost_usd=high_cost,
    )


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _disk(candidate: Candidate) -> DiskSpace:
    storage = candidate.storage
    return DiskSpace(
        result_bytes=storage.artifact_bytes,
        checkpoint_bytes=storage.checkpoint_bytes,
        peak_bytes=storage.peak_output_bytes,
        cache_bytes=storage.cache_bytes,
    )


def _reason(trace: Trace) -> Reason:
    return Reason(
        rule_id=trace.rule_id,
        message=trace.message,
        fix=trace.fix,
        weight=trace.weight,
        strength=trace.strength,
        sources=trace.sources,
    )


def _methods(result: Recommendation) -> tuple[MethodSummary, ...]:
    compared = [
        *([(result.best, "recommended")] if result.best else []),
        *((candidate, "possible") for candidate in result.alternatives),
        *((candidate, "rejected") for candidate in result.rejected),
    ]
    return tuple(
        MethodSummary(
            method=candidate.method,
            standing=standing,  # type: ignore[arg-type]
            high_bytes=candidate.memory.device.high,
            likely_seconds=_whole(candidate.time.total_seconds) if candidate.time else None,
            points=candidate.score,
            why_not=candidate.why_not,
        )
        for candidate, standing in compared
    )
