"""What would change the answer: small changes of one input, found by search and verified by judging again.

A trial is first put to the plans that are already there: the rules judge them with the changed fact, or the changed
memory is set against what they need. Only where that points to another answer is everything decided anew, and a
change is reported only when the decision is then another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from advisor.ask.questions import BY_KEY
from advisor.decide.decision import Decision, Inputs, decide, rank_key, seconds_of
from advisor.decide.recommendation import Change
from advisor.decide.smaller import largest_that_fits
from advisor.errors import InputError
from advisor.language import tr
from advisor.probe import hardware_from_text
from advisor.probe.hardware import GIB, Gpu
from trainers.amounts import MIB, gib, mib, size_of_flag, whole_gib

CARD_SIZES_GIB = (12, 16, 24, 32, 48, 80, 96, 141, 180)
"""Memory of cards one can buy or rent; a 24 GB card is tried as 23.5 GiB usable."""
USABLE_SHARE = 0.98
BUDGETS_GIB = (1000, 100, 10, 1)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One changed input: a group (only the first hit of a group is reported), words, the flag, the new inputs."""

    group: str
    what: str
    flag: str
    inputs: Inputs
    facts: dict[str, Any] = {}
    """The facts that it changes; empty when only a new decision can tell."""
    card_bytes: int | None = None
    """The memory of each card, for a trial with other cards."""
    saves_memory: bool = False
    """It can only make more plans fit: where all fit, its facts alone can matter."""


def find_changes(inputs: Inputs, decision: Decision) -> tuple[Change, ...]:
    """The nearest change in each direction that leads to another method."""
    before = decision.best.method if decision.best else None
    change_of_group: dict[str, Change] = {}
    for trial in _trials(inputs, decision):
        if trial.group in change_of_group or not _may_change(trial, inputs, decision):
            continue
        after = decide(trial.inputs, traced=False)
        method = after.best.method if after.best else None
        if method != before or after.verdict != decision.verdict:
            change_of_group[trial.group] = Change(
                what=trial.what, flag=trial.flag, method=method, verdict=after.verdict
            )
    return tuple(change_of_group.values())


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
        fired = inputs.book.judge(facts, effects=effects, only_fired=True)
        gated = gated or any(trace.effect == "gate" for trace in fired)
        if candidate.fits and not any(trace.effect == "veto" for trace in fired):
            standing.append((candidate.method, sum(trace.weight for trace in fired), seconds_of(candidate)))
    best = min(standing, key=lambda each: rank_key(each[0], each[1], wish, each[2]), default=(None, 0, None))[0]
    return gated != bool(decision.gates) or best != (decision.best.method if decision.best else None)


def _memory_matters(card_bytes: int, decision: Decision) -> bool:
    """Whether a plan that fits would no longer fit in `card_bytes`, or one that does not fit would."""
    shown = (*decision.ranked, *decision.rejected)
    leanest = {c.method: min(tried.device_high_bytes for tried in c.tried_variants) for c in shown}
    return any(candidate.fits != (leanest[candidate.method] <= card_bytes) for candidate in shown)


def find_remedies(inputs: Inputs, decision: Decision) -> tuple[str, ...]:
    """What makes something fit, cheapest first: a shorter sequence, then larger or more GPUs."""
    remedies = []
    length = decision.rejected[0].plan.max_seq_len
    while length > 256:
        length //= 2
        shorter = decide(_with_answer(inputs, "wish.max_seq_len", length), traced=False)
        if shorter.best:
            remedies.append(
                tr(
                    "limit sequences to {length} tokens (--wish-max-seq-len {length}): {method} fits",
                    length=length,
                    method=shorter.best.method,
                )
            )
            break
    for trial in (*_larger_cards(inputs), *_more_cards(inputs)):
        if trial.card_bytes is not None and not _memory_matters(trial.card_bytes, decision):
            continue
        after = decide(trial.inputs, traced=False)
        if after.best:
            remedies.append(
                tr("{what} ({flag}): {method} fits", what=trial.what, flag=trial.flag, method=after.best.method)
            )
            break
    if any(process for gpu in inputs.hardware.usable_gpus for process in gpu.processes):
        remedies.append(tr("stop the other processes that hold GPU memory (sft-advisor probe lists them)"))
    if more_storage := _storage_remedy(inputs, decision):
        remedies.insert(0, more_storage)
    remedies.append(_smaller_model(inputs))
    return tuple(remedies)


def _smaller_model(inputs: Inputs) -> str:
    found = largest_that_fits(inputs)
    if found is None:
        return tr("choose a smaller model (--model)")
    if not found.family:
        return tr(
            "choose a smaller model, the largest known here that fits (--model {name}): {method} fits",
            name=found.name,
            method=found.method,
        )
    return tr(
        "choose a smaller model, the largest {family} that fits (--model {name}): {method} fits",
        name=found.name,
        family=found.family,
        method=found.method,
    )


def _trials(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    yield from _larger_cards(inputs)
    yield from _smaller_cards(inputs)
    yield from _more_cards(inputs)
    shown = decision.best or decision.rejected[0]
    length = shown.plan.max_seq_len
    for group, wished in (("shorter", length // 2), ("longer", length * 2), ("longer", length * 4)):
        longest = inputs.model.max_position_embeddings or wished
        if 128 <= wished <= longest:
            trial = _answer_trial(
                inputs, group, tr("sequences of {wished:,} tokens", wished=wished), "wish.max_seq_len", wished
            )
            yield msgspec.structs.replace(trial, saves_memory=wished < length)
    yield from _more_data(inputs, decision)
    yield from _storage(inputs, decision)
    for key, values in (
        ("task.priority", ("quality", "iteration", "cost")),
        ("task.shift", ("small", "medium", "large")),
        ("deploy.latency_critical", (True, False)),
        ("task.switch_per_request", (True, False)),
        ("task.retention_critical", (True, False)),
    ):
        now = decision.facts.get(key)
        for value in values:
            if value != now and not (now is None and value is False):
                yield _answer_trial(inputs, f"{key}={value}", f"{key} = {_word(value)}", key, value)


def _answer_trial(inputs: Inputs, group: str, what: str, key: str, value: Any) -> Trial:
    flag = f"{BY_KEY[key].flag} {_word(value)}"
    facts = {} if key == "wish.max_seq_len" else {key: value}
    return Trial(group=group, what=what, flag=flag, inputs=_with_answer(inputs, key, value), facts=facts)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_answer(inputs: Inputs, key: str, value: Any) -> Inputs:
    return msgspec.structs.replace(inputs, answers=inputs.answers | {key: value})


def _more_data(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    examples = decision.facts.get("data.examples")
    if not examples:
        return
    for group, factor in (
        (tr("more data"), 10),
        (tr("more data"), 100),
        (tr("less data"), 0.1),
        (tr("less data"), 0.01),
    ):
        scaled: dict[str, Any] = {}
        for key in ("data.examples", "data.completion_tokens", "data.total_tokens"):
            value = decision.facts.get(key)
            if value:
                scaled[key] = max(1, int(value * factor))
        changed = msgspec.structs.replace(inputs, answers=inputs.answers | scaled)
        what = tr("{scaled:,} examples like these", scaled=scaled["data.examples"])
        # the tokens change with the examples: typed alone, --data-examples would be judged with the old ones
        flag = " ".join(f"{BY_KEY[key].flag} {value}" for key, value in scaled.items())
        yield Trial(group=group, what=what, flag=flag, inputs=changed, facts=scaled)


def _storage(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    budget = decision.facts.get("storage.budget_bytes")
    for size_gib in BUDGETS_GIB if budget is None or budget > GIB else ():
        if budget is None or size_gib * GIB < budget:
            yield _budget_trial(inputs, tr("less storage"), f"{size_gib} GiB", size_gib * GIB)
    if budget is not None:
        yield _budget_trial(inputs, tr("more storage"), gib(budget * 10, 0), budget * 10)


def _budget_trial(inputs: Inputs, group: str, words: str, budget_bytes: int) -> Trial:
    """With a budget in whole MiB, as it is typed."""
    budget_mib = max(1, -(-budget_bytes // MIB))
    trial = _answer_trial(
        inputs, group, tr("{words} for all variants", words=words), "storage.budget_bytes", budget_mib * MIB
    )
    return msgspec.structs.replace(trial, flag=f"--storage-budget-bytes {size_of_flag(max(1, budget_bytes))}")


def _storage_remedy(inputs: Inputs, decision: Decision) -> str | None:
    """How much more storage makes a method usable that nothing else forbids."""
    needs = sorted(
        decision.candidate_facts[candidate.method]["plan.variants_bytes"]
        for candidate in decision.rejected
        if candidate.fits and all(veto.rule_id.startswith("STO-") for veto in candidate.vetoes)
    )
    for need in needs:
        trial = _budget_trial(inputs, tr("more storage"), mib(-(-need // MIB) * MIB), need)
        after = decide(trial.inputs, traced=False)
        if after.best:
            return tr(
                "allow {what} ({flag}): {method} fits", what=trial.what, flag=trial.flag, method=after.best.method
            )
    return None


def _larger_cards(inputs: Inputs) -> Iterator[Trial]:
    now = inputs.hardware.smallest_free_bytes or 0
    for size in CARD_SIZES_GIB:
        if size * GIB * USABLE_SHARE > now * 1.05:
            yield from _card_trial(inputs, tr("larger GPU"), size)


def _smaller_cards(inputs: Inputs) -> Iterator[Trial]:
    now = inputs.hardware.smallest_free_bytes or 0
    for size in reversed(CARD_SIZES_GIB):
        if size * GIB < now * 0.95:
            yield from _card_trial(inputs, tr("smaller GPU"), size)


def _card_trial(inputs: Inputs, group: str, size_gib: int) -> Iterator[Trial]:
    """Cards of another size, where a size alone describes them: not other makers', no parts, no shared memory."""
    gpus = inputs.hardware.usable_gpus
    if not gpus or inputs.hardware.accelerator != "cuda" or any(gpu.kind != "gpu" for gpu in gpus):
        return
    count, nodes = len(gpus), inputs.hardware.num_nodes
    what = (
        tr("a {size_gib} GB GPU", size_gib=size_gib)
        if count == 1
        else tr("{count} GPUs of {size_gib} GB", count=count, size_gib=size_gib)
    )
    yield from _described(
        inputs, group, what if nodes == 1 else tr("{what} a node", what=what), f"{count}x {size_gib}GiB"
    )


def _more_cards(inputs: Inputs) -> Iterator[Trial]:
    usable = inputs.hardware.usable_gpus
    alike = len({(gpu.name, gpu.total_bytes) for gpu in usable}) == 1
    if not alike or usable[0].kind != "gpu" or inputs.hardware.num_nodes > 1:
        return
    for count in (2, 4, 8):
        if count > len(usable):
            yield from _described(
                inputs, tr("more GPUs"), f"{count}x {_card_words(usable[0])}", f"{count}x {_card_words(usable[0])}"
            )


def _card_words(gpu: Gpu) -> str:
    """The card as `--hardware` takes it: by name where that names the same memory, else by memory."""
    words = (gpu.catalogue_name or gpu.name).removeprefix("NVIDIA ")
    try:
        named = hardware_from_text(f"1x {words}").gpus
    except InputError:
        named = ()
    if named and named[0].total_bytes == gpu.total_bytes:
        return words
    return gib(gpu.total_bytes or 0, 0).replace(" ", "")


def _described(inputs: Inputs, group: str, what: str, cards: str) -> Iterator[Trial]:
    """The machine with other cards, as it is judged when its flag is typed: nothing else of the host is known."""
    nodes, ram = inputs.hardware.num_nodes, inputs.hardware.host.ram_available_bytes
    text = cards if nodes == 1 else tr("{nodes} nodes of {cards}", nodes=nodes, cards=cards)
    text += tr(", {whole_gib}GB RAM", whole_gib=whole_gib(ram)) if ram else ""
    try:
        hardware = hardware_from_text(text)
    except InputError:
        return
    yield Trial(
        group=group,
        what=what,
        flag=f'--hardware "{text}"',
        inputs=msgspec.structs.replace(inputs, hardware=hardware, software=None, calibrations={}),
        card_bytes=hardware.smallest_free_bytes if group != "more GPUs" else None,
    )
