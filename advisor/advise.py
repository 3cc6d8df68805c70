"""The whole path on one screen: answers, machine, model and data become a Recommendation. Pure: no I/O.

    facts -> candidates (one a method) -> gates, vetoes, preferences -> rank -> what would change the answer

Order of judgement: gates, vetoes, the user's legal wish, preferences by summed weight, then ties to the cheapest
method of equal quality: LoRA, QLoRA, full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from advisor import __version__
from advisor.candidates import build_candidate, plan_facts, with_time
from advisor.changes import Inputs, find_changes, find_remedies, rank_key
from advisor.data.profile import DatasetProfile
from advisor.estimate.runtime import Calibration
from advisor.facts import Facts, build_facts, choose_devices
from advisor.filling import Context, plan_frame
from advisor.model.spec import ModelSpec
from advisor.probe import without_private
from advisor.probe.hardware import Hardware, Software
from advisor.questions import BY_KEY
from advisor.recommendation import AnswerView, Candidate, ModelView, Recommendation, Verdict
from advisor.variants import methods_to_judge
from rules.engine import RuleBook, Trace
from trainers.plan import DatasetRef, TrainingPlan


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


def advise(
    answers: Mapping[str, Any],
    hardware: Hardware,
    model: ModelSpec,
    data: DatasetProfile | None,
    book: RuleBook,
    *,
    origins: Mapping[str, str] | None = None,
    software: Software | None = None,
    dataset: DatasetRef | None = None,
    output_dir: str = "runs",
    overrides: Mapping[str, Any] | None = None,
    calibrations: Mapping[str, Calibration] | None = None,
    search_changes: bool = True,
) -> Recommendation:
    """The recommendation for one set of inputs; the same inputs always give the same answer.

    `answers` holds values by question key, `origins` where each came from. `overrides` fixes plan fields that the
    rules would otherwise set (`sft-advisor train --lora-rank 8`); each is shown as the user's own. `calibrations` is
    what earlier runs on this device measured, by method (estimate/ledger.py).
    """
    inputs = Inputs(
        answers=dict(answers),
        hardware=hardware,
        model=model,
        data=data,
        book=book,
        software=software,
        dataset=dataset,
        output_dir=output_dir,
        overrides=dict(overrides or {}),
        calibrations=dict(calibrations or {}),
    )
    decision = decide(inputs)
    changes = find_changes(inputs, decision, decide) if search_changes and not decision.gates else ()
    remedies = find_remedies(inputs, decision, decide) if decision.verdict == "nothing_fits" else ()
    best = decision.best
    return Recommendation(
        advisor_version=__version__,
        verdict=decision.verdict,
        headline=_headline(decision, model),
        best=best,
        alternatives=decision.ranked[1:],
        rejected=decision.rejected,
        gates=decision.gates,
        warnings=_warnings(decision, hardware, model, data),
        changes=changes,
        remedies=remedies,
        wish_cost=_wish_cost(decision),
        unknown_facts=_unknown_facts(decision.traces, answers),
        answers={
            key: AnswerView(value=value, origin=(origins or {}).get(key, "flag")) for key, value in answers.items()
        },
        facts=decision.facts.values,
        fact_reasons=decision.facts.reasons,
        model=ModelView(
            name=model.name,
            model_type=model.model_type,
            num_params=model.num_params,
            active_params=model.active_params,
            known=model.known,
            notes=model.notes,
        ),
        data=data,
        hardware=without_private(hardware),
        traces=decision.traces,
    )


def decide(inputs: Inputs, *, traced: bool = True) -> Decision:
    """Build, judge and rank the candidates. Without `traced` only the rules that fired are kept, which is faster."""
    devices = choose_devices(inputs.hardware)
    facts = build_facts(inputs.answers, inputs.hardware, devices, inputs.model, inputs.data, inputs.software)
    context = Context(
        facts=facts,
        devices=devices,
        model=inputs.model,
        frame=plan_frame(inputs.model, devices, inputs.dataset, inputs.output_dir),
        book=inputs.book,
        overrides=inputs.overrides,
        calibrations=inputs.calibrations,
    )
    built = [build_candidate(method, context, traced=traced) for method in methods_to_judge(facts)]
    fits = {f"fits.{c.method}": c.fits and not c.vetoes for c in built if c.method in ("full", "lora", "qlora")}
    fits["fits.lora_offloaded"] = any(c.plan.cpu_offload for c in built if c.method == "lora")
    context = msgspec.structs.replace(context, facts=Facts(values=facts.values | fits, reasons=facts.reasons))
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
    ranked.sort(key=lambda c: rank_key(c.method, c.score, wish))
    rejected.sort(key=lambda c: (c.method != wish, c.memory.device.high))
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


def _judge(
    candidate: Candidate, context: Context, traced: bool
) -> tuple[Candidate, dict[str, Any], tuple[Trace, ...]]:
    """The candidate with its reasons and score, the facts it was judged by, and the traces."""
    candidate = with_time(candidate, context)
    own = plan_facts(candidate.plan, candidate.memory, candidate.storage, candidate.fits, context)
    if candidate.time is not None and candidate.time.total_seconds is not None:
        own["plan.seconds"] = candidate.time.total_seconds
    facts = context.facts.values | own
    effects = ("gate", "veto", "prefer", "avoid", "warn")
    traces = context.book.judge(facts, effects=effects, only_fired=not traced)
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
        reasons.append("its predicted peak is above the free memory of the smallest GPU")
    if best is not None and not reasons:
        reasons += [trace.message for trace in candidate.reasons if trace.weight < 0]
        if best.method == wish and candidate.score > best.score:
            reasons.append(f"the advice would be {candidate.method}; {best.method} was asked for")
        elif candidate.score == best.score:
            reasons.append(f"equal on points; {best.method} is the cheaper of the two")
        else:
            reasons.append(f"fewer points: {candidate.score} against {best.score} for {best.method}")
    return msgspec.structs.replace(candidate, why_not=tuple(reasons))


def _headline(decision: Decision, model: ModelSpec) -> str:
    if decision.verdict == "do_not_fine_tune":
        return f"Do not fine-tune yet: {decision.gates[0].title}"
    best = decision.best
    if best is None:
        return f"No method fits {model.name} on this hardware"
    names = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA", "prefix": "prefix tuning"}
    method = names.get(best.method, "bottleneck adapters")
    rank = f" of rank {best.plan.lora_rank}" if best.plan.lora_rank else ""
    return f"Fine-tune {model.name} with {method}{rank}"


def _warnings(
    decision: Decision, hardware: Hardware, model: ModelSpec, data: DatasetProfile | None
) -> tuple[str, ...]:
    shown = decision.best or decision.rejected[0]
    said = [trace.message for trace in shown.warnings]
    said += list(decision.device_notes)
    said += [finding.what for finding in hardware.findings if finding.severity != "note"]
    if not model.known:
        said.append(f"the family {model.model_type!r} is not known; its shape is a guess, so the band is wide")
    if data is not None and data.num_broken:
        said.append(f"{data.num_broken} rows of the dataset are broken and left out")
    if _new_tokens_stay_untrained(decision, shown.plan):
        said.append(
            "the rows of the new tokens would not train, for their ids are not known: add the tokens to tokenizer "
            "and model, save both into one folder and give that as --model, or say --trainable-token-indices"
        )
    if shown.available_bytes is None:
        said.append("free memory is not known here, so whether it fits was not judged")
    return tuple(dict.fromkeys(said))


def _new_tokens_stay_untrained(decision: Decision, plan: TrainingPlan) -> bool:
    adapts = plan.method in ("lora", "qlora")
    trains = plan.trainable_token_indices or plan.modules_to_save
    return bool(decision.facts.get("data.new_tokens")) and adapts and not trains


def _wish_cost(decision: Decision) -> tuple[str, ...]:
    wish = decision.facts.get("wish.method")
    best = decision.best
    if wish is None:
        return ()
    if best is None or best.method != wish:
        refused = next((c for c in decision.rejected if c.method == wish), None)
        return (
            tuple(f"{wish} was asked for but cannot be used: {reason}" for reason in refused.why_not)
            if refused
            else ()
        )
    against = [trace.message for trace in best.reasons if trace.weight < 0]
    better = [c for c in decision.ranked[1:] if c.score > best.score]
    if better:
        against.append(f"without the wish the advice would be {better[0].method}")
    return tuple(against)


def _unknown_facts(traces: tuple[Trace, ...], answers: Mapping[str, Any]) -> dict[str, str]:
    missing = sorted({path for trace in traces if trace.outcome == "unknown" for path in trace.missing})
    asked = (path for path in missing if path in BY_KEY and path not in answers and not path.startswith("wish."))
    return {path: BY_KEY[path].flag for path in asked}
