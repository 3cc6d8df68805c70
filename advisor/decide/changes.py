"""What would change the answer: small changes of one input, found by search and verified by judging again.

A trial is first put to the plans that are already there: the rules judge them with the changed fact, or the changed
memory is set against what they need. Only where that points to another answer is everything decided anew, and a
change is reported only when the decision is then another. Where no single change makes anything fit, two are tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from advisor.base.language import tr
from advisor.decide.decision import Decision, Inputs, decide, rank_key, seconds_of
from advisor.decide.environment import repairs_of
from advisor.decide.recommendation import Change, Verdict
from advisor.decide.smaller import largest_that_fits
from advisor.decide.trials import (
    Trial,
    all_trials,
    fewer_cards,
    larger_cards,
    more_and_larger_cards,
    more_cards,
    more_ram,
    more_storage,
    named_cards,
    other_data,
    shorter,
)
from trainers.amounts import size
from trainers.method import Method

LACKS_RAM = ("HW-06", "HW-46")
LACKS_DISK = "HW-11"


def verdict_of(inputs: Inputs, decision: Decision) -> Verdict:
    """What the whole answer says: a gate first, then what has to be repaired, then the decision."""
    if decision.gates or not repairs_of(inputs, decision):
        return decision.verdict
    return "repair_first"


def find_changes(inputs: Inputs, decision: Decision) -> tuple[Change, ...]:
    """The nearest change in each direction that leads to another method or verdict.

    Where a gate stands, the amount of data alone is varied: it is what a person can change about it.
    """
    before = _outcome(inputs, decision)
    trials = other_data(inputs, decision) if decision.gates else all_trials(inputs, decision)
    change_of_group: dict[str, Change] = {}
    for trial in trials:
        if trial.group in change_of_group or not _may_change(trial, inputs, decision):
            continue
        after = _outcome(trial.inputs, decide(trial.inputs, traced=False))
        if after != before:
            method, verdict = after
            change_of_group[trial.group] = Change(what=trial.what, flag=trial.flag, method=method, verdict=verdict)
    return tuple(change_of_group.values())


def _outcome(inputs: Inputs, decision: Decision) -> tuple[Method | None, Verdict]:
    return decision.best.method if decision.best else None, verdict_of(inputs, decision)


def _may_change(trial: Trial, inputs: Inputs, decision: Decision) -> bool:
    """Whether the plans at hand, judged with what the trial changes, point to another answer."""
    if trial.card_bytes is not None:
        return _memory_matters(trial.card_bytes, decision)
    if trial.saves_memory and not all(candidate.fits for candidate in (*decision.ranked, *decision.rejected)):
        return True
    if not trial.facts:
        return not trial.saves_memory
    wish = decision.facts.get("wish.method")
    effects = ("gate", "veto", "prefer", "avoid")
    standing, gated = [], False
    for candidate in (*decision.ranked, *decision.rejected):
        facts = decision.candidate_facts[candidate.method] | trial.facts
        fired = inputs.book.firing(facts, effects)
        gated = gated or any(rule.effect == "gate" for rule in fired)
        if candidate.fits and not any(rule.effect == "veto" for rule in fired):
            standing.append((candidate.method, sum(rule.signed_weight for rule in fired), seconds_of(candidate)))
    best = min(standing, key=lambda each: rank_key(each[0], each[1], wish, each[2]), default=(None, 0, None))[0]
    return gated != bool(decision.gates) or best != (decision.best.method if decision.best else None)


def _memory_matters(card_bytes: int, decision: Decision) -> bool:
    """Whether a plan that fits would no longer fit in `card_bytes`, or one that does not fit would."""
    shown = (*decision.ranked, *decision.rejected)
    leanest = {
        c.method: min(
            v.device_high_bytes for v in c.tried_variants if not c.fits or v.cpu_offload == c.plan.cpu_offload
        )
        for c in shown
    }
    return any(candidate.fits != (leanest[candidate.method] <= card_bytes) for candidate in shown)


def find_remedies(inputs: Inputs, decision: Decision) -> tuple[str, ...]:
    """What makes something fit: storage, RAM, fewer cards, shorter sequences, other cards; else two of them."""
    singles = (
        more_storage(inputs, decision),
        more_ram(inputs) if _lacks_ram(decision) else (),
        fewer_cards(inputs) if _lacks_ram(decision) else (),
        shorter(inputs, decision),
        (*named_cards(inputs), *larger_cards(inputs), *more_cards(inputs)),
    )
    remedies = [remedy for trials in singles if (remedy := _first_that_helps(trials, decision))]
    if not remedies:
        remedies += _pair(inputs, decision)
    remedies += _room_on_disk(decision)
    if any(process for gpu in inputs.hardware.usable_gpus for process in gpu.processes):
        remedies.append(tr("stop the other processes that hold GPU memory (`sft-advisor probe` lists them)"))
    smaller = _smaller_model(inputs)
    if verdict_of(inputs, decision) == "repair_first":
        smaller = tr("after the repair: {remedy}", remedy=smaller)
    return (*remedies, smaller)


def _smaller_model(inputs: Inputs) -> str:
    largest = largest_that_fits(inputs)
    if largest is None:
        return tr("choose a smaller model (--model)")
    if not largest.family:
        return tr(
            "choose a smaller model, the largest known here that fits (--model {name}): {method} fits",
            name=largest.name,
            method=largest.method,
        )
    return tr(
        "choose a smaller model, the largest {family} that fits (--model {name}): {method} fits",
        name=largest.name,
        family=largest.family,
        method=largest.method,
    )


def _lacks_ram(decision: Decision) -> bool:
    return any(veto.rule_id in LACKS_RAM for candidate in decision.rejected for veto in candidate.vetoes)


def _room_on_disk(decision: Decision) -> list[str]:
    """The method that writes least, of those that only the room in the output folder forbids."""
    forbidden = [c for c in decision.rejected if {veto.rule_id for veto in c.vetoes} == {LACKS_DISK}]
    if not forbidden:
        return []
    least = min(forbidden, key=lambda candidate: candidate.storage.peak_output_bytes)
    sentence = tr(
        "make room for the run: {method} writes {size} into {folder} (`--output` names another folder)",
        method=least.method,
        size=size(least.storage.peak_output_bytes),
        folder=least.plan.output_dir,
    )
    return [sentence]


def _first_that_helps(trials: Iterable[Trial], decision: Decision | None = None) -> str | None:
    """The first trial with which something is recommended, as a sentence; `decision`: skips what cannot matter."""
    for trial in trials:
        if decision is not None and trial.card_bytes is not None and not _memory_matters(trial.card_bytes, decision):
            continue
        after = decide(trial.inputs, traced=False)
        if after.best and verdict_of(trial.inputs, after) == "recommended":
            return tr(
                "{change} ({flag}): {method} fits", change=trial.what, flag=trial.flag, method=after.best.method
            )
    return None


def _pair(inputs: Inputs, decision: Decision) -> list[str]:
    """Two changes of which neither helps alone: another machine for shorter sequences, else more and larger cards."""
    shortest = tuple(shorter(inputs, decision))[-1:]
    machines = (*(more_ram(inputs) if _lacks_ram(decision) else ()), *larger_cards(inputs), *more_cards(inputs))
    both = _both(machines, shortest)
    trial = _first_that_helps(both) or _first_that_helps(more_and_larger_cards(inputs))
    return [trial] if trial else []


def _both(trials: Iterable[Trial], others: Iterable[Trial]) -> Iterator[Trial]:
    """Each trial with the answer of each other one."""
    for trial in trials:
        for other in others:
            yield msgspec.structs.replace(
                trial,
                what=tr("{one}, and {other}", one=trial.what, other=other.what),
                flag=f"{trial.flag} {other.flag}",
                inputs=msgspec.structs.replace(trial.inputs, answers=other.inputs.answers),
            )
