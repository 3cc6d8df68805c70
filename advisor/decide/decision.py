"""The decision: inputs become candidates, one a method, which are judged by the rules and ranked.

Order of judgement: gates, vetoes, the user's legal wish, preferences by summed weight, then the least predicted time,
then the simplest method: LoRA, QLoRA, full.
"""

from __future__ import annotations

from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.data.profile import DatasetProfile
from advisor.decide.candidates import build_candidate, need_facts, plan_facts, with_replay, with_time
from advisor.decide.facts import Devices, Facts, build_facts, device_choices
from advisor.decide.fill import Context, plan_frame
from advisor.decide.made_for import made_for
from advisor.decide.recommendation import Candidate, Verdict
from advisor.decide.variants import methods_to_judge
from advisor.estimate.runtime import Calibration
from advisor.model.spec import ModelSpec
from advisor.probe.hardware import Hardware, Software
from rules.engine import RuleBook, Trace
from rules.rule import Effect
from trainers.method import METHODS, Method
from trainers.plan import DatasetRef

TIE_ORDER = tuple(METHODS)
"""Methods of equal points and equal time, the simplest first."""
FOUR_BITS_MUST_TAKE = 0.75
"""The part of LoRA's time below which QLoRA on other cards is worth its loss of quality (as in rule HW-43)."""
JUDGED: tuple[Effect, ...] = ("gate", "veto", "prefer", "avoid", "warn")
"""Effects of the rules that speak of a whole plan; those that set filled it before."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a decision depends on."""

    answers: dict[str, Any]
    hardware: Hardware
    model: ModelSpec
    data: DatasetProfile | None
    book: RuleBook
    software: Software | None = None
    dataset: DatasetRef | None = None
    output_dir: str = "runs"
    overrides: dict[str, Any] = {}
    calibrations: dict[str, Calibration] = {}
    found: Hardware | None = None
    """The machine as it was found, where `hardware` is what it becomes once repaired."""
    paces: dict[str, Calibration] = {}
    raced: dict[str, Any] = {}
    """Facts that a race on this machine has shown of this model and these data."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Everything judged, before it is put into words."""

    facts: Facts
    ranked: tuple[Candidate, ...]
    """Legal candidates, best first."""
    rejected: tuple[Candidate, ...]
    gates: tuple[Trace, ...]
    traces: tuple[Trace, ...]
    device_notes: tuple[str, ...] = ()
    candidate_facts: dict[str, dict[str, Any]] = {}
    """Method -> all facts that its candidate was judged by."""

    @property
    def best(self) -> Candidate | None:
        """The recommended candidate, None when nothing fits."""
        return self.ranked[0] if self.ranked else None

    @property
    def verdict(self) -> Verdict:
        """What the answer is, in one word."""
        if self.gates:
            return "do_not_fine_tune"
        return "recommended" if self.ranked else "nothing_fits"


def rank_key(method: str, score: int, wish: str | None, seconds: float | None) -> tuple[bool, int, float, int]:
    """Sort key of a legal candidate: the wish first, then points, then the least time; last the simplest method.

    `seconds`: its predicted duration; None where none is known, of which the device decides and not the method.
    """
    return method != wish, -score, seconds or 0.0, TIE_ORDER.index(method)


def seconds_of(candidate: Candidate) -> float | None:
    """Predicted duration of a candidate, where it is known."""
    return candidate.time.total_seconds if candidate.time is not None else None


def _compared_facts(candidates: list[Candidate]) -> dict[str, Any]:
    """What rules that compare methods read: whether each fits (memory alone), may be used, and how long it takes."""
    facts: dict[str, Any] = {}
    for candidate in candidates:
        method = candidate.method
        if not METHODS[method].on_request:
            facts[f"fits.{method}"] = candidate.fits
            facts[f"usable.{method}"] = candidate.fits and not candidate.vetoes
            facts[f"seconds.{method}"] = seconds_of(candidate)
        if method == "lora":
            facts["fits.lora_offloaded"] = candidate.only_offloaded
    return {path: value for path, value in facts.items() if value is not None}


def decide(inputs: Inputs, *, traced: bool = True) -> Decision:
    """Build, judge and rank the candidates. Without `traced` only the rules that fired are kept, which is faster.

    Of cards of several kinds those of one kind are tried too, and taken where that is better.
    """
    first, *others = device_choices(inputs.hardware)
    decision = _decide_on(first, inputs, traced)
    for devices in others:
        other = _decide_on(devices, inputs, traced)
        if _runs_better(other, decision):
            decision = other
    return decision


def _runs_better(other: Decision, now: Decision) -> bool:
    """Whether other devices are worth it: what leads now runs sooner there; else by the leaders.

    Held against another method's time, more memory could bring other devices on which every method is slower.
    """
    if now.best is not None:
        same = next((candidate for candidate in other.ranked if candidate.method == now.best.method), None)
        if same is not None and _is_better(same, now.best):
            return True
    return _is_better(other.best, now.best)


def _is_better(other: Candidate | None, now: Candidate | None) -> bool:
    """Whether fewer cards are worth it: they run something, or the same sooner, or LoRA at no great loss of time."""
    if other is None or now is None:
        return other is not None
    if other.only_offloaded:
        return False
    its, mine = seconds_of(other), seconds_of(now)
    if its is None or mine is None:
        return (other.method, now.method) == ("lora", "qlora")
    if other.method == now.method:
        return its < mine
    if (other.method, now.method) == ("lora", "qlora"):
        return mine >= FOUR_BITS_MUST_TAKE * its
    return (other.method, now.method) == ("qlora", "lora") and its < FOUR_BITS_MUST_TAKE * mine


def _decide_on(devices: Devices, inputs: Inputs, traced: bool) -> Decision:
    facts = build_facts(
        inputs.answers | inputs.raced, inputs.hardware, devices, inputs.model, inputs.data, inputs.software
    )
    context = Context(
        facts=facts,
        devices=devices,
        model=inputs.model,
        frame=plan_frame(inputs.model, devices, inputs.dataset, inputs.output_dir),
        book=inputs.book,
        overrides=inputs.overrides,
        calibrations=inputs.calibrations,
        paces=inputs.paces,
    )
    built = [with_time(_built(method, context, traced), context) for method in methods_to_judge(facts)]
    compared = facts.values | _compared_facts(built)
    context = msgspec.structs.replace(context, facts=Facts(values=compared, reasons=facts.reasons))
    judged = [_judge(candidate, context, traced) for candidate in built]
    wish = facts.get("wish.method")
    ranked: list[Candidate] = []
    rejected: list[Candidate] = []
    traces: dict[str, tuple[Trace, ...]] = {}
    candidate_facts: dict[str, dict[str, Any]] = {}
    for candidate, own_facts, all_traces in judged:
        traces[candidate.method] = all_traces
        candidate_facts[candidate.method] = own_facts
        (ranked if candidate.fits and not candidate.vetoes else rejected).append(candidate)
    ranked.sort(key=lambda c: rank_key(c.method, c.score, wish, seconds_of(c)))
    rejected.sort(key=lambda c: (c.method != wish, c.memory.device.high))
    if ranked and traced:
        ranked[0] = with_replay(ranked[0], context)
        candidate_facts[ranked[0].method] |= need_facts(ranked[0].memory, ranked[0].available_bytes)
    shown = (ranked or rejected)[0]
    return Decision(
        facts=context.facts,
        ranked=tuple(_say_why_not(candidate, ranked[0], wish) for candidate in ranked),
        rejected=tuple(_say_why_not(candidate, None, wish) for candidate in rejected),
        gates=tuple(t for t in traces[shown.method] if t.effect == "gate" and t.outcome == "fires"),
        traces=traces[shown.method],
        device_notes=devices.notes,
        candidate_facts=candidate_facts,
    )


def _built(method: Method, context: Context, traced: bool) -> Candidate:
    """A method's candidate; one that is too large only by blocks that the allocator may give back is played."""
    candidate = build_candidate(method, context, traced=traced)
    available = candidate.available_bytes
    if candidate.fits or available is None or candidate.memory.allocated.high > available:
        return candidate
    return with_replay(candidate, context)


def _judge(
    candidate: Candidate, context: Context, traced: bool
) -> tuple[Candidate, dict[str, Any], tuple[Trace, ...]]:
    """The candidate with its reasons and score, the facts it was judged by, and the traces."""
    plan = msgspec.structs.replace(candidate.plan, made_for=made_for(candidate, context))
    candidate = msgspec.structs.replace(candidate, plan=plan)
    of_plan = plan_facts(candidate.plan, candidate.memory, candidate.storage, candidate.fits, context)
    of_plan["plan.only_offloaded"] = candidate.only_offloaded
    if candidate.time is not None and candidate.time.total_seconds is not None:
        of_plan["plan.seconds"] = candidate.time.total_seconds
    facts = context.facts.values | of_plan
    traces = context.book.judge(facts, effects=JUDGED, only_fired=not traced)
    fired = [trace for trace in traces if trace.outcome == "fires"]
    reasons = tuple(trace for trace in fired if trace.effect in ("prefer", "avoid"))
    judged = msgspec.structs.replace(
        candidate,
        vetoes=tuple(trace for trace in fired if trace.effect == "veto"),
        reasons=reasons,
        warnings=tuple(trace for trace in fired if trace.effect == "warn"),
        score=sum(trace.weight for trace in reasons),
    )
    return judged, facts, (*traces, *candidate.settings)


def _say_why_not(candidate: Candidate, best: Candidate | None, wish: Any) -> Candidate:
    if best is not None and candidate.method == best.method:
        return candidate
    reasons = [trace.message for trace in candidate.vetoes]
    if not candidate.fits and not reasons:
        reasons.append(tr("its predicted peak is above the free memory of the smallest GPU"))
    if best is not None and not reasons:
        reasons += [trace.message for trace in candidate.reasons if trace.weight < 0]
        if best.method == wish and candidate.score > best.score:
            sentence = tr("the advice would be {better}; {wished} was asked for")
            reasons.append(sentence.format(better=candidate.method, wished=best.method))
        elif candidate.score == best.score:
            reasons.append(tr("equal on points; {advantage}", advantage=_advantage(best, candidate)))
        else:
            sentence = tr("fewer points: {points} against {most} for {method}")
            reasons.append(sentence.format(points=candidate.score, most=best.score, method=best.method))
    return msgspec.structs.replace(candidate, why_not=tuple(reasons))


def _advantage(best: Candidate, other: Candidate) -> str:
    """Why of two methods with equal points one stands first, by the figures that ranked them."""
    sooner, later = seconds_of(best), seconds_of(other)
    if sooner is None or later is None or sooner == later:
        return tr("{method} is the simpler of the two", method=best.method)
    return tr("{method} is predicted to take {share} of its time", method=best.method, share=f"{sooner / later:.0%}")
