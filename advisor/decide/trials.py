"""Trials: the small changes of one input that are worth judging, each with the flag that makes it.

A trial holds the inputs as they are when its flag is typed beside the answers that were given: nothing else of a
described machine is known, and what follows from the changed answer changes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from advisor.ask.questions import BY_KEY
from advisor.base.errors import InputError
from advisor.base.language import tr
from advisor.decide.decision import Decision, Inputs
from advisor.probe import hardware_from_text
from advisor.probe.hardware import GIB, Gpu, Hardware
from trainers.amounts import MIB, gib, mib, size_of_flag, whole_gib

CARD_SIZES_GIB = (12, 16, 24, 32, 48, 80, 96, 141, 180)
"""Memory of cards one can buy or rent; a 24 GB card is tried as 23.5 GiB usable."""
CARD_COUNTS = (2, 4, 8)
RENTED_CARDS = (
    "RTX 3060", "RTX 4060 Ti 16GB", "RTX 4090", "RTX 5090", "L40S", "A100-80GB", "RTX PRO 6000", "H200", "B200",
)  # fmt: skip
"""A card of each size that is common to rent, the smallest first."""
USABLE_SHARE = 0.98
BUDGETS_GIB = (1000, 100, 10, 1)
RAM_SIZES_GIB = (32, 64, 128, 256, 512, 1024, 2048)
SHORTEST_TOKENS = 256
"""A remedy cuts no sequence below this length."""


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


def all_trials(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    """Every trial, the smallest change of a group first."""
    yield from larger_cards(inputs)
    yield from smaller_cards(inputs)
    yield from more_cards(inputs)
    shown = decision.best or decision.rejected[0]
    length = shown.plan.max_seq_len
    longest = inputs.model.max_position_embeddings or 4 * length
    for group, wished in (("shorter", length // 2), ("longer", length * 2), ("longer", length * 4)):
        if 128 <= wished <= longest:
            yield msgspec.structs.replace(length_trial(inputs, wished, group), saves_memory=wished < length)
    yield from other_data(inputs, decision)
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


def shorter(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    """Sequences cut to half the length, and so on down to SHORTEST_TOKENS."""
    length = decision.rejected[0].plan.max_seq_len
    while length > SHORTEST_TOKENS:
        length //= 2
        yield length_trial(inputs, length, "shorter")


def length_trial(inputs: Inputs, tokens: int, group: str) -> Trial:
    """Sequences of another length."""
    what = tr("sequences of {count} tokens", count=f"{tokens:,}")
    return _answer_trial(inputs, group, what, "wish.max_seq_len", tokens)


def _answer_trial(inputs: Inputs, group: str, what: str, key: str, value: Any) -> Trial:
    flag = f"{BY_KEY[key].flag} {_word(value)}"
    facts = {} if key == "wish.max_seq_len" else {key: value}
    changed = msgspec.structs.replace(inputs, answers=inputs.answers | {key: value})
    return Trial(group=group, what=what, flag=flag, inputs=changed, facts=facts)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def other_data(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    """More and fewer examples of the same kind and length."""
    examples = decision.facts.get("data.examples")
    if not examples:
        return
    for group, factor in (("more-data", 10), ("more-data", 100), ("less-data", 0.1), ("less-data", 0.01)):
        scaled: dict[str, Any] = {}
        for key in ("data.examples", "data.completion_tokens", "data.total_tokens"):
            value = decision.facts.get(key)
            if value:
                scaled[key] = max(1, int(value * factor))
        changed = msgspec.structs.replace(inputs, answers=inputs.answers | scaled)
        what = tr("{count} examples like these", count=f"{scaled['data.examples']:,}")
        # the tokens change with the examples: typed alone, --data-examples would be judged with the old ones
        flag = " ".join(f"{BY_KEY[key].flag} {value}" for key, value in scaled.items())
        yield Trial(group=group, what=what, flag=flag, inputs=changed, facts=scaled)


def _storage(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    budget = decision.facts.get("storage.budget_bytes")
    for size_gib in BUDGETS_GIB if budget is None or budget > GIB else ():
        if budget is None or size_gib * GIB < budget:
            yield budget_trial(inputs, "less-storage", f"{size_gib} GiB", size_gib * GIB)
    if budget is not None:
        yield budget_trial(inputs, "more-storage", gib(budget * 10, 0), budget * 10)


def budget_trial(inputs: Inputs, group: str, words: str, budget_bytes: int) -> Trial:
    """With a budget in whole MiB, as it is typed."""
    budget_mib = max(1, -(-budget_bytes // MIB))
    what = tr("{size} for all variants", size=words)
    trial = _answer_trial(inputs, group, what, "storage.budget_bytes", budget_mib * MIB)
    return msgspec.structs.replace(trial, flag=f"--storage-budget-bytes {size_of_flag(max(1, budget_bytes))}")


def more_storage(inputs: Inputs, decision: Decision) -> Iterator[Trial]:
    """As much storage as a method needs that nothing else forbids, the smallest amount first."""
    needs = sorted(
        decision.candidate_facts[candidate.method]["plan.variants_bytes"]
        for candidate in decision.rejected
        if candidate.fits and all(veto.rule_id.startswith("STO-") for veto in candidate.vetoes)
    )
    for need in needs:
        yield budget_trial(inputs, "more-storage", mib(-(-need // MIB) * MIB), need)


def larger_cards(inputs: Inputs) -> Iterator[Trial]:
    """As many cards with more memory each."""
    now = inputs.hardware.smallest_free_bytes or 0
    for size in CARD_SIZES_GIB:
        if size * GIB * USABLE_SHARE > now * 1.05:
            yield from _card_trial(inputs, "larger-card", size)


def smaller_cards(inputs: Inputs) -> Iterator[Trial]:
    """As many cards with less memory each."""
    now = inputs.hardware.smallest_free_bytes or 0
    for size in reversed(CARD_SIZES_GIB):
        if size * GIB < now * 0.95:
            yield from _card_trial(inputs, "smaller-card", size)


def _card_trial(inputs: Inputs, group: str, size_gib: int) -> Iterator[Trial]:
    """Cards of another size, where a size alone describes them: not other makers', no parts, no shared memory."""
    gpus = inputs.hardware.usable_gpus
    if gpus and _are_plain(inputs.hardware):
        yield from _sized_cards(inputs, group, size_gib, len(gpus))


def _are_plain(hardware: Hardware) -> bool:
    return hardware.accelerator == "cuda" and all(gpu.kind == "gpu" for gpu in hardware.usable_gpus)


def _sized_cards(inputs: Inputs, group: str, size_gib: int, count: int) -> Iterator[Trial]:
    what = (
        tr("a {size} GB GPU", size=size_gib)
        if count == 1
        else tr("{count} GPUs of {size} GB", count=count, size=size_gib)
    )
    if inputs.hardware.num_nodes > 1:
        what = tr("{cards} a node", cards=what)
    yield from _described(inputs, group, what, f"{count}x {size_gib}GiB")


def more_cards(inputs: Inputs) -> Iterator[Trial]:
    """More cards of the same kind."""
    usable = inputs.hardware.usable_gpus
    alike = len({(gpu.name, gpu.total_bytes) for gpu in usable}) == 1
    if not alike or usable[0].kind != "gpu" or inputs.hardware.num_nodes > 1:
        return
    for count in CARD_COUNTS:
        if count > len(usable):
            words = f"{count}x {_card_words(usable[0])}"
            yield from _described(inputs, "more-cards", words, words)


def fewer_cards(inputs: Inputs) -> Iterator[Trial]:
    """Some of the cards, the most first: each process loads a model of its own into the memory of the host."""
    usable = inputs.hardware.usable_gpus
    if len({(gpu.name, gpu.total_bytes) for gpu in usable}) != 1 or usable[0].kind != "gpu":
        return
    for count in reversed((1, *CARD_COUNTS)):
        if count < len(usable):
            words = f"{count}x {_card_words(usable[0])}"
            yield from _described(inputs, "fewer-cards", words, words)


def named_cards(inputs: Inputs) -> Iterator[Trial]:
    """As many cards of the next sizes that one can rent, by name."""
    now, count = inputs.hardware.smallest_free_bytes or 0, len(inputs.hardware.usable_gpus)
    if not count or not _are_plain(inputs.hardware):
        return
    for name in RENTED_CARDS:
        words = f"{count}x {name}"
        if (hardware_from_text(words).smallest_free_bytes or 0) > now * 1.05:
            yield from _described(inputs, "named-card", words, words)


def more_and_larger_cards(inputs: Inputs) -> Iterator[Trial]:
    """More cards with more memory each: the least memory in all first."""
    usable, now = inputs.hardware.usable_gpus, inputs.hardware.smallest_free_bytes or 0
    if not usable or not _are_plain(inputs.hardware) or inputs.hardware.num_nodes > 1:
        return
    sizes = [size for size in CARD_SIZES_GIB if size * GIB * USABLE_SHARE > now * 1.05]
    pairs = [(count, size) for count in CARD_COUNTS if count > len(usable) for size in sizes]
    for count, size in sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair[0])):
        yield from _sized_cards(inputs, "larger-and-more", size, count)


def more_ram(inputs: Inputs) -> Iterator[Trial]:
    """The same cards in a machine with more memory, where cards and memory alone describe it."""
    usable, ram = inputs.hardware.usable_gpus, inputs.hardware.host.ram_available_bytes
    if not usable or ram is None or len({(gpu.name, gpu.total_bytes) for gpu in usable}) > 1:
        return
    if usable[0].kind != "gpu":
        return
    for size_gib in RAM_SIZES_GIB:
        if size_gib * GIB > ram:
            what = tr("{size} GB of RAM", size=size_gib)
            yield from _described(inputs, "more-ram", what, f"{len(usable)}x {_card_words(usable[0])}", size_gib)


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


def _described(inputs: Inputs, group: str, what: str, cards: str, ram_gib: int | None = None) -> Iterator[Trial]:
    """The machine with other cards, as it is judged when its flag is typed: nothing else of the host is known."""
    nodes, host = inputs.hardware.num_nodes, inputs.hardware.host
    text = cards if nodes == 1 else f"{nodes} nodes of {cards}"
    if ram_gib is None and host.ram_available_bytes:
        ram_gib = whole_gib(host.ram_available_bytes)
    text += f", {ram_gib}GB RAM" if ram_gib else ""
    if host.output is not None and host.output.free_bytes:
        text += f", {whole_gib(host.output.free_bytes)}GB disk"
    try:
        hardware = hardware_from_text(text)
    except InputError:
        return
    learnt = _learnt_there(inputs, hardware)
    yield Trial(
        group=group,
        what=what,
        flag=f'--hardware "{text}"',
        inputs=msgspec.structs.replace(inputs, hardware=hardware, found=None, software=None, **learnt),
        card_bytes=hardware.smallest_free_bytes if group in ("named-card", "larger-card", "smaller-card") else None,
    )


def _learnt_there(inputs: Inputs, hardware: Hardware) -> dict[str, Any]:
    """What earlier runs and races on such a card have shown; nothing of another card's."""
    now, then = inputs.hardware.usable_gpus, hardware.usable_gpus
    if now and then and now[0].name == then[0].name:
        return {}
    return {"calibrations": {}, "paces": {}, "raced": {}}
