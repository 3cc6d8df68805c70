"""The whole path on one screen: answers, machine, model and data become a Recommendation.

    facts -> candidates (one a method) -> gates, vetoes, preferences -> rank -> what would change the answer

Nothing is measured or asked here; the only file read is the package's own catalogue of cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from advisor.ask.questions import BY_KEY
from advisor.base.language import tr
from advisor.base.version import __version__
from advisor.data.profile import DatasetProfile
from advisor.decide.afterwards import next_steps
from advisor.decide.changes import find_changes, find_remedies, verdict_of
from advisor.decide.decision import Decision, Inputs, decide, seconds_of
from advisor.decide.environment import as_if_repaired, repairs_of
from advisor.decide.recommendation import AnswerView, Candidate, Caution, ModelView, Recommendation
from advisor.estimate.runtime import Calibration
from advisor.model.spec import ModelSpec
from advisor.probe import hardware_from_text, without_private
from advisor.probe.hardware import Hardware, Software
from rules.engine import RuleBook, Trace
from trainers.amounts import duration
from trainers.method import METHODS
from trainers.plan import DatasetRef, TrainingPlan

DAY_SECONDS = 86_400
TOO_LONG_SECONDS = 3 * DAY_SECONDS
"""From three days on the duration stands in the headline: sessions, power and patience rarely last longer."""
TOO_LONG_ON_CPU_SECONDS = DAY_SECONDS // 2
"""On a CPU from half a day on, which a small card does in minutes."""
QUICKER = ("RTX 4090", "A100-80GB", "H100-80GB", "8x H100-80GB")
"""What may be rented for a day, the cheapest first."""


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
    paces: Mapping[str, Calibration] | None = None,
    raced: Mapping[str, Any] | None = None,
    search_changes: bool = True,
) -> Recommendation:
    """The recommendation for one set of inputs; the same inputs always give the same answer.

    `answers` holds values by question key, `origins` where each came from. `overrides` fixes plan fields that the
    rules would otherwise set (`sft-advisor train lora --lora-rank 8`); each is shown as the user's own.
    `calibrations` is what earlier runs on this device measured, by method, and `paces` how fast they were
    (estimate/ledger.py); `raced` the facts that a race with this model and these data has shown (estimate/raced.py).
    """
    inputs = Inputs(
        answers=dict(answers),
        hardware=as_if_repaired(hardware),
        model=model,
        data=data,
        book=book,
        software=software,
        dataset=dataset,
        output_dir=output_dir,
        overrides=dict(overrides or {}),
        calibrations=dict(calibrations or {}),
        found=hardware,
        paces=dict(paces or {}),
        raced=dict(raced or {}),
    )
    decision = decide(inputs)
    repairs = repairs_of(inputs, decision)
    changes = find_changes(inputs, decision) if search_changes else ()
    remedies = find_remedies(inputs, decision) if decision.verdict == "nothing_fits" else ()
    best = decision.best
    return Recommendation(
        advisor_version=__version__,
        verdict=verdict_of(inputs, decision),
        headline=_headline(decision, inputs, repairs),
        best=best,
        alternatives=decision.ranked[1:],
        rejected=decision.rejected,
        gates=decision.gates,
        warnings=tuple(dict.fromkeys((*repairs, *_warnings(decision, hardware, model, data)))),
        changes=changes,
        remedies=remedies,
        repairs=repairs,
        afterwards=next_steps(decision.facts, best.plan) if best is not None else (),
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


def _headline(decision: Decision, inputs: Inputs, repairs: tuple[Caution, ...]) -> str:
    if decision.verdict == "do_not_fine_tune":
        return tr("Do not fine-tune yet: {reason}", reason=decision.gates[0].title)
    advice = _advice(decision, inputs)
    if not repairs:
        return advice
    return tr("Repair this machine first: {fault} Then: {advice}", fault=repairs[0].message, advice=advice)


def _advice(decision: Decision, inputs: Inputs) -> str:
    best, model = decision.best, inputs.model
    if best is None:
        return tr("No method fits {model} on this hardware", model=model.name)
    method, rank = tr(METHODS[best.method].title), best.plan.lora_rank
    sentence = tr("Fine-tune {model} with {method} of rank {rank}") if rank else tr("Fine-tune {model} with {method}")
    return sentence.format(model=model.name, method=method, rank=rank) + _caution(best, inputs)


def _caution(best: Candidate, inputs: Inputs) -> str:
    """What the headline has to add where the plan runs, but for longer than anybody would wait."""
    seconds = seconds_of(best)
    on_cpu = best.plan.accelerator == "cpu"
    if seconds is None or seconds < (TOO_LONG_ON_CPU_SECONDS if on_cpu else TOO_LONG_SECONDS):
        return ""
    sentence = (
        tr(", though this CPU is predicted to take {time}")
        if on_cpu
        else tr(", though this machine is predicted to take {time}")
    )
    return sentence.format(time=duration(seconds)) + _within_a_day(inputs)


def _within_a_day(inputs: Inputs) -> str:
    """The cheapest machine of QUICKER that does it in a day; empty where none does."""
    for machine in QUICKER:
        hardware = hardware_from_text(machine)
        other = decide(
            msgspec.structs.replace(inputs, hardware=hardware, found=None, software=None, calibrations={}),
            traced=False,
        )
        seconds = seconds_of(other.best) if other.best is not None else None
        if seconds is not None and seconds <= DAY_SECONDS:
            return tr("; {machine} would take {time}", machine=machine, time=duration(seconds))
    return ""


def _warnings(
    decision: Decision, hardware: Hardware, model: ModelSpec, data: DatasetProfile | None
) -> tuple[Caution, ...]:
    shown = decision.best or decision.rejected[0]
    warnings = [Caution(message=t.message, fix=t.fix, rule_id=t.rule_id) for t in shown.warnings]
    warnings += [Caution(message=note) for note in decision.device_notes]
    warnings += [
        Caution(message=finding.what, fix=finding.fix) for finding in hardware.findings if finding.severity != "note"
    ]
    if not model.known:
        warnings.append(
            Caution(
                message=tr(
                    "the family {family!r} is not known; its shape is a guess, so the band is wide",
                    family=model.model_type,
                ),
                fix=tr(
                    "`sft-advisor launch preflight PLAN.toml` measures the longest batch before anything is trained"
                ),
            )
        )
    if data is not None and data.num_broken:
        warnings.append(
            Caution(
                message=tr("{count} rows of the dataset are broken and left out", count=data.num_broken),
                fix=tr("`sft-advisor data check DATA` names each of them"),
            )
        )
    if _new_tokens_stay_untrained(decision, shown.plan):
        warnings.append(
            Caution(
                message=tr("the rows of the new tokens would not train, for their ids are not known"),
                fix=tr("add the tokens to tokenizer and model, save both into one folder and give that as --model"),
            )
        )
    if shown.available_bytes is None:
        warnings.append(
            Caution(
                message=tr("free memory is not known here, so whether it fits was not judged"),
                fix=tr('name the machine: --hardware "RTX 4090"'),
            )
        )
    return tuple(dict.fromkeys(warnings))


def _new_tokens_stay_untrained(decision: Decision, plan: TrainingPlan) -> bool:
    adapts = METHODS[plan.method].is_lora
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
            tuple(
                tr("{method} was asked for but cannot be used: {reason}", method=wish, reason=reason)
                for reason in refused.why_not
            )
            if refused
            else ()
        )
    against = [trace.message for trace in best.reasons if trace.weight < 0]
    better = [c for c in decision.ranked[1:] if c.score > best.score]
    if better:
        against.append(tr("without the wish the advice would be {method}", method=better[0].method))
    return tuple(against)


def _unknown_facts(traces: tuple[Trace, ...], answers: Mapping[str, Any]) -> dict[str, str]:
    missing = sorted({path for trace in traces if trace.outcome == "unknown" for path in trace.missing})
    asked = (path for path in missing if path in BY_KEY and path not in answers and not path.startswith("wish."))
    return {path: BY_KEY[path].flag for path in asked}
