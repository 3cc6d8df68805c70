"""What would change the answer: small changes of one input, found by search and verified by judging again.

A trial is first put to the plans that are already there: the rules judge them with the changed fact, or the changed
memory is set against what they need. Only where that points to another answer is everything decided anew, and a
change is reported only when the decision is then another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from advisor.data.profile import DatasetProfile
from advisor.estimate.runtime import Calibration
from advisor.facts import AMPLE_TOTAL_BYTES
from advisor.model.spec import ModelSpec
from advisor.probe.hardware import GIB, Hardware, Software
from advisor.questions import BY_KEY
from advisor.recommendation import Change
from rules.engine import RuleBook
from trainers.plan import DatasetRef

if TYPE_CHECKING:
    from advisor.advise import Decision

CARD_SIZES_GIB = (12, 16, 24, 32, 48, 80, 96, 141, 180)
"""Memory of cards one can buy or rent; a 24 GB card is tried as 23.5 GiB usable."""
USABLE_SHARE = 0.98
BUDGETS_GIB = (1000, 100, 10, 1)


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


class Decide(Protocol):
    """`advise.decide`, handed in so that this module does not import its caller."""

    def __call__(self, inputs: Inputs, *, traced: bool = True) -> Decision:
        """Judge these inputs."""
        ...


TIE_ORDER = ("lora", "qlora", "full", "prefix", "adapter")


def rank_key(method: str, score: int, wish: str | None) -> tuple[bool, int, int]:
    """Sort key of a legal candidate: the wish first, then points, then the cheapest of equal quality."""
    return method != wish, -score, TIE_ORDER.index(method)


def find_changes(inputs: Inputs, decision: Decision, decide: Decide) -> tuple[Change, ...]:
    """The nearest change in each direction that gives another method."""
    before = decision.best.method if decision.best else None
    found: dict[str, Change] = {}
    for trial in _trials(inputs, decision):
        if trial.group in found or not _may_change(trial, inputs, decision):
            continue
        after = decide(trial.inputs, traced=False)
        method = after.best.method if after.best else None
        if method != before or after.verdict != decision.verdict:
            found[trial.group] = Change(what=trial.what, flag=trial.flag, method=method, verdict=after.verdict)
    return tuple(found.values())


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
            standing.append((candidate.method, sum(trace.weight for trace in fired)))
    best = min(standing, key=lambda each: rank_key(each[0], each[1], wish), default=(None, 0))[0]
    return gated != bool(decision.gates) or best != (decision.best.method if decision.best else None)


def _memory_matters(card_bytes: int, decision: Decision) -> bool:
    """Whether a plan that fits stops to fit in `card_bytes`, or one that does not fit begins to."""
    shown = (*decision.ranked, *decision.rejected)
    leanest = {c.method: min(attempt.device_high_bytes for attempt in c.attempts) for c in shown}
    return any(candidate.fits != (leanest[candidate.method] <= card_bytes) for candidate in shown)


def find_remedies(inputs: Inputs, decision: Decision, decide: Decide) -> tuple[str, ...]:
    """What makes something fit, cheapest first: a shorter sequence, then larger or more GPUs."""
    remedies = []
    length = decision.rejected[0].plan.max_seq_len
    while length > 256:
        length //= 2
        shorter = decide(_with_answer(inputs, "wish.max_seq_len", length), traced=False)
        if shorter.best:
            remedies.append(
                f"limit sequences to {length} tokens (--wish-max-seq-len {length}): {shorter.best.method} fits"
            )
            break
    for trial in (*_larger_cards(inputs), *_more_cards(inputs)):
        if trial.card_bytes is not None and not _memory_matters(trial.card_bytes, decision):
            continue
        after = decide(trial.inputs, traced=False)
        if after.best:
            remedies.append(f"{trial.what} ({trial.flag}): {after.best.method} fits")
            break
    if any(process for gpu in inputs.hardware.usable_gpus for process in gpu.processes):
        remedies.append("stop the other processes that hold GPU memory (sft-advisor probe lists them)")
    remedies.append("choose a smaller model of the same family (--model)")
    return tuple(remedies)


def _trials(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    yield from _larger_cards(inputs)
    yield from _smaller_cards(inputs)
    yield from _more_cards(inputs)
    shown = decision.best or decision.rejected[0]
    length = shown.plan.max_seq_len
    for group, wished in (("shorter", length // 2), ("longer", length * 2), ("longer", length * 4)):
        longest = inputs.model.max_position_embeddings or wished
        if 128 <= wished <= longest:
            trial = _answer_trial(inputs, group, f"sequences of {wished:,} tokens", "wish.max_seq_len", wished)
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
    for group, factor in (("more data", 10), ("more data", 100), ("less data", 0.1), ("less data", 0.01)):
        scaled: dict[str, Any] = {}
        for key in ("data.examples", "data.completion_tokens", "data.total_tokens"):
            value = decision.facts.get(key)
            if value:
                scaled[key] = max(1, int(value * factor))
        changed = msgspec.structs.replace(inputs, answers=inputs.answers | scaled)
        what = f"{scaled['data.examples']:,} examples like these"
        # the tokens change with the examples: typed alone, --data-examples would be judged with the old ones
        flag = " ".join(f"{BY_KEY[key].flag} {value}" for key, value in scaled.items())
        yield Trial(group=group, what=what, flag=flag, inputs=changed, facts=scaled)


def _storage(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    budget = decision.facts.get("storage.budget_bytes")
    for size_gib in BUDGETS_GIB if budget is None or budget > GIB else ():
        if budget is None or size_gib * GIB < budget:
            trial = _answer_trial(inputs, "less storage", "", "storage.budget_bytes", size_gib * GIB)
            words = {"what": f"{size_gib} GiB for all variants", "flag": f"--storage-budget-bytes {size_gib}GiB"}
            yield msgspec.structs.replace(trial, **words)
    if budget is not None:
        trial = _answer_trial(inputs, "more storage", "", "storage.budget_bytes", budget * 10)
        words = {
            "what": f"{budget * 10 / GIB:.0f} GiB for all variants",
            "flag": f"--storage-budget-bytes {budget * 10 // 1024**2}MiB",
        }
        yield msgspec.structs.replace(trial, **words)


def _larger_cards(inputs: Inputs) -> Iterator[Trial]:
    now = inputs.hardware.smallest_free_bytes or 0
    if inputs.hardware.usable_gpus:
        yield from (
            _card_trial(inputs, "larger GPU", size)
            for size in CARD_SIZES_GIB
            if size * GIB * USABLE_SHARE > now * 1.05
        )


def _smaller_cards(inputs: Inputs) -> Iterator[Trial]:
    now = inputs.hardware.smallest_free_bytes or 0
    for size in reversed(CARD_SIZES_GIB):
        if size * GIB < now * 0.95:
            yield _card_trial(inputs, "smaller GPU", size)


def _card_trial(inputs: Inputs, group: str, size_gib: int) -> Trial:
    usable = int(size_gib * GIB * USABLE_SHARE)
    gpus = tuple(
        msgspec.structs.replace(gpu, total_bytes=usable, reserved_bytes=0, used_bytes=0, free_bytes=usable)
        if gpu.usable
        else gpu
        for gpu in inputs.hardware.gpus
    )
    count = len(inputs.hardware.usable_gpus)
    return Trial(
        group=group,
        what=f"a {size_gib} GB GPU" if count == 1 else f"{count} GPUs of {size_gib} GB",
        flag=f'--hardware "{count}x {size_gib}GiB"',
        inputs=msgspec.structs.replace(inputs, hardware=msgspec.structs.replace(inputs.hardware, gpus=gpus)),
        card_bytes=usable,
    )


def _more_cards(inputs: Inputs) -> Iterator[Trial]:
    usable = inputs.hardware.usable_gpus
    if not usable or any(gpu.kind == "mig" for gpu in usable) or inputs.hardware.num_nodes > 1:
        return
    for count in (2, 4, 8):
        if count > len(usable):
            ample = count * (usable[0].usable_bytes or 0) >= AMPLE_TOTAL_BYTES
            copies = tuple(msgspec.structs.replace(usable[0], index=i, uuid=None) for i in range(count))
            yield Trial(
                group="more GPUs",
                what=f"{count}x {usable[0].name}",
                flag=f'--hardware "{count}x {usable[0].name.removeprefix("NVIDIA ")}"',
                inputs=msgspec.structs.replace(
                    inputs, hardware=msgspec.structs.replace(inputs.hardware, gpus=copies)
                ),
                facts={"gpu.count": count, "machine.class": "ample" if ample else "medium"},
                saves_memory=True,
            )
