"""Random machines, models and answers, and what must hold of every decision on them.

    python -m tests.decide.random_cases --cases 1000 --seed 1 [--typed 0.1]

One line for each promise that a case breaks, with what reproduces it; ends with 1 where there was one. Ctrl-C ends it
early and says how many were tried. `--typed`: the
part of the cases whose changes and remedies are typed too, which takes ten times as long as all else.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shlex
import sys
import traceback
import typing
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from advisor.ask.answers import Layer, parse
from advisor.ask.questions import QUESTIONS
from advisor.decide.advise import advise
from advisor.decide.decision import Decision, Inputs, decide, seconds_of
from advisor.decide.recommendation import Candidate
from advisor.model.catalog import entries, from_catalog
from advisor.model.use import refusal
from advisor.probe import hardware_from_text
from advisor.probe.catalogue import cards
from advisor.probe.hardware import Hardware
from rules.engine import RuleBook, load_rule_book
from rules.facts import ARTIFACTS, DATA_KINDS, ENGINES, PRIORITIES, SHIFTS, WEIGHT_FORMATS
from trainers.method import Method
from trainers.seen_to_run import was_seen_to_run

SLOWER = 1.02
"""More memory may cost so much of the predicted time: the size of what two roundings make."""
MORE_MEMORY = (1.25, 2.0)
MIXED = (
    "2x RTX 3060 + 1x RTX 4090",
    "1x RTX 3090 + 1x RTX 4060 Ti 16GB",
    "2 nodes of 8x H100-80GB",
    "2 nodes of 8x A100-80GB",
    "4 nodes of 8x L4",
)
KEY_OF_FLAG = {question.flag: question.key for question in QUESTIONS}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a person could type."""

    hardware: str
    model: str
    answers: dict[str, Any]

    def inputs(self, book: RuleBook) -> Inputs:
        """As the advice takes it."""
        model = from_catalog(self.model)
        assert model is not None
        return Inputs(
            answers=self.answers, hardware=hardware_from_text(self.hardware), model=model, data=None, book=book
        )


def random_case(rng: random.Random) -> Case:
    """A machine of the catalogue, a model of the catalogue, and some of the answers that matter."""
    return Case(hardware=_machine(rng), model=rng.choice(_models()), answers=_answers(rng))


def _models() -> list[str]:
    return [name for name, entry in entries().items() if (model := from_catalog(entry.hub)) and not refusal(model)]


def _machine(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(("cpu, 16GB RAM, 8 cores", "cpu, 128GB RAM, 32 cores", "M3 Max 64GB", "M2 Ultra 192GB"))
    count = rng.choice((1, 1, 1, 2, 4, 8))
    if kind < 0.2:
        text = f"{count}x {rng.choice((6, 8, 11, 12, 16, 24, 32, 40, 48, 64, 80, 96, 141, 192))}GiB"
    elif kind < 0.26:
        text = rng.choice(MIXED)
    else:
        text = f"{count}x {rng.choice([card.name for card in cards() if card.memory_mib])}"
    return text + rng.choice(("", "", ", 16GB RAM", ", 64GB RAM", ", 256GB RAM", ", 1024GB RAM"))


def _answers(rng: random.Random) -> dict[str, Any]:
    examples = int(10 ** rng.uniform(1.7, 6.5))
    length = int(10 ** rng.uniform(1.7, 3.7))
    answers: dict[str, Any] = {"data.examples": examples}
    if rng.random() < 0.8:
        answers["data.total_tokens"] = examples * length
        answers["data.completion_tokens"] = max(1, int(examples * length * rng.uniform(0.05, 0.9)))
        answers["data.len_p95"] = int(length * rng.uniform(1.1, 4))
    choices: dict[str, tuple[Any, ...]] = {
        "data.kind": DATA_KINDS,
        "task.shift": SHIFTS,
        "task.priority": PRIORITIES,
        "task.count": (1, 2, 5, 30),
        "task.switch_per_request": (True, False),
        "task.retention_critical": (True, False),
        "data.new_language": (True, False),
        "data.new_tokens": (0, 20, 5_000),
        "deploy.engine": ENGINES,
        "deploy.artifact": ARTIFACTS,
        "deploy.weights": WEIGHT_FORMATS,
        "deploy.latency_critical": (True, False),
        "storage.budget_bytes": (2 << 24, 2 << 28, 10 << 30, 500 << 30),
        "wish.method": ("full", "lora", "qlora", "prefix", "adapter"),
        "wish.max_seq_len": (128, 512, 2048, 8192, 32768),
        "task.prompting_tried": (True,),
    }
    for key, values in choices.items():
        if rng.random() < (0.12 if key.startswith("wish.") else 0.25):
            answers[key] = rng.choice(values)
    return answers


def broken_promises(case: Case, book: RuleBook) -> Iterator[str]:
    """What the decision on a case should not have said or done; nothing where all holds."""
    inputs = case.inputs(book)
    decision = decide(inputs, traced=False)
    yield from contradicted(decision)
    yield from never_seen_to_run(decision)
    yield from slower_with_more(inputs, decision)
    yield from worse_with_more_storage(inputs, decision)


def never_seen_to_run(decision: Decision) -> Iterator[str]:
    """Plans that may be recommended and lie in no cell of docs/optimizer-matrix.md that ran."""
    for candidate in decision.ranked:
        if not was_seen_to_run(candidate.plan):
            yield f"unseen: {candidate.method} {shape(candidate)}"


def contradicted(decision: Decision) -> Iterator[str]:
    """Reasons that the figures of the candidates do not bear out."""
    found = {candidate.method: candidate for candidate in (*decision.ranked, *decision.rejected)}
    lora, qlora, full = found["lora"], found["qlora"], found["full"]
    rules = {method: fired(candidate) for method, candidate in found.items()}
    slow, fast = seconds_of(lora), seconds_of(qlora)
    for text in rules["qlora"].get("HW-09", ()):
        if lora.fits and not lora.only_offloaded:
            yield "reason: HW-09 though LoRA fits"
        if ("does not fit on the device" in text) != (not lora.fits):
            yield f"reason: HW-09 says {text!r}"
    if "HW-08" in rules["qlora"]:
        if not usable(lora):
            yield "reason: HW-08 though LoRA cannot be used"
        if slow and fast and fast < 0.9 * slow:
            yield f"reason: HW-08 though QLoRA takes {fast / slow:.0%} of LoRA's time"
    for id, method in (("HW-01", full), ("HW-02", lora), ("HW-03", qlora)):
        if id in rules[method.method] and method.fits:
            yield f"reason: {id} though it fits"
    for candidate in found.values():
        for reason in candidate.why_not:
            if "above the free memory" in reason and candidate.fits:
                yield f"reason: {candidate.method} {reason!r} though it fits"
    best = decision.best
    for other in decision.ranked[1:]:
        if best is None or "wish.method" in decision.facts.values:
            continue
        mine, its = seconds_of(best), seconds_of(other)
        if other.score > best.score or (other.score == best.score and mine and its and mine > its):
            yield f"reason: {best.method} stands before {other.method} against points and time"


def fired(candidate: Candidate) -> dict[str, list[str]]:
    """Rule -> what it said of a candidate."""
    said: dict[str, list[str]] = {}
    for trace in (*candidate.reasons, *candidate.warnings, *candidate.vetoes):
        said.setdefault(trace.rule_id, []).append(trace.message)
    return said


def usable(candidate: Candidate) -> bool:
    """Whether it may be recommended."""
    return candidate.fits and not candidate.vetoes


def slower_with_more(inputs: Inputs, decision: Decision) -> Iterator[str]:
    """Methods that are predicted to take longer on the same machine with more memory, trained in the same form.

    The one step that may cost time is that from bf16 weights alone to fp32 copies, which full fine-tuning takes as
    soon as they fit: it learns what bf16 rounds away (QUA-41).
    """
    before = {candidate.method: candidate for candidate in decision.ranked}
    for factor in MORE_MEMORY:
        larger = decide(msgspec.structs.replace(inputs, hardware=with_memory(inputs.hardware, factor)), traced=False)
        for after in larger.ranked:
            if after.method not in before or form(after) != form(before[after.method]):
                continue
            then, now = seconds_of(before[after.method]), seconds_of(after)
            if then and now and now > SLOWER * then:
                how = f"{shape(before[after.method])} -> {shape(after)}"
                won = "winner " if decision.best is before[after.method] and larger.best is after else ""
                yield f"slower: {won}{after.method} with {factor:g} of the memory: x{now / then:.2f}: {how}"


def form(candidate: Candidate) -> tuple[str, bool, int | None]:
    """What of a plan changes what is learnt: how weights are rounded, whether steps can accumulate, the rank."""
    return candidate.plan.weights_dtype, candidate.plan.optimizer_in_backward, candidate.plan.lora_rank


def shape(candidate: Candidate) -> str:
    """The structure of a plan in one line."""
    plan = candidate.plan
    return (
        f"{plan.sharding}{'+off' if plan.cpu_offload else ''} {'ckpt ' if plan.gradient_checkpointing else ''}"
        f"b{plan.micro_batch_size}x{plan.gradient_accumulation_steps} {plan.weights_dtype} {plan.optimizer}"
        f"{' in backward' if plan.optimizer_in_backward else ''} r{plan.lora_rank} {plan.num_epochs} ep"
    )


def with_memory(hardware: Hardware, factor: float) -> Hardware:
    """The same machine with `factor` times the memory on each card, free and in all."""

    def more(size: int | None) -> int | None:
        return None if size is None else int(size * factor)

    gpus = tuple(
        msgspec.structs.replace(
            gpu, free_bytes=more(gpu.free_bytes if gpu.free_bytes is not None else gpu.usable_bytes)
        )
        for gpu in hardware.gpus
    )
    return msgspec.structs.replace(hardware, gpus=gpus)


def worse_with_more_storage(inputs: Inputs, decision: Decision) -> Iterator[str]:
    """Methods that ten times the storage takes away."""
    budget = inputs.answers.get("storage.budget_bytes")
    if budget is None:
        return
    larger = decide(
        msgspec.structs.replace(inputs, answers=inputs.answers | {"storage.budget_bytes": 10 * budget}), traced=False
    )
    lost = {c.method for c in decision.ranked} - {c.method for c in larger.ranked}
    if lost:
        yield f"storage: ten times the budget takes {', '.join(sorted(lost))} away"


def untrue_when_typed(case: Case, book: RuleBook) -> Iterator[str]:
    """Changes and remedies whose flags, typed, are refused or give another answer than was promised."""
    given = case.inputs(book)
    result = advise(given.answers, given.hardware, given.model, None, book)
    promised = [(change.flag, change.verdict, change.method) for change in result.changes]
    for remedy in result.remedies:
        if found := re.search(r"\((--.*)\): (\w+) fits", remedy):
            verdict = "repair_first" if remedy.startswith("after the repair") else "recommended"
            promised.append((found[1], verdict, typing.cast("Method", found[2])))
    for flags, verdict, method in promised:
        words = shlex.split(flags)
        values = dict(zip(words[::2], words[1::2], strict=True))
        hardware = values.pop("--hardware", case.hardware)
        model = values.pop("--model", case.model)
        read, problems = parse(Layer("flag", {KEY_OF_FLAG[name]: value for name, value in values.items()}))
        if problems:
            yield f"typed: {flags} is refused: {problems[0].what}"
            continue
        typed = Case(hardware=hardware, model=model, answers=case.answers | dict(read.values)).inputs(book)
        again = advise(typed.answers, typed.hardware, typed.model, None, book, search_changes=False)
        gives = (again.verdict, again.best and again.best.method)
        if gives != (verdict, method):
            yield f"typed: {flags} promises {verdict}, {method} and gives {gives}"


def all_that_breaks(case: Case, book: RuleBook, *, typed: bool) -> Iterator[str]:
    """What breaks on a case, an exception of any kind included."""
    try:
        yield from broken_promises(case, book)
        if typed:
            yield from untrue_when_typed(case, book)
    except Exception:  # noqa: BLE001  whatever it is, it is what is looked for
        yield f"exception: {traceback.format_exc(limit=-2)}"


def main() -> int:
    """Try the cases, print what breaks."""
    parser = argparse.ArgumentParser(prog="python -m tests.decide.random_cases", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--typed", type=float, default=0.0)
    options = parser.parse_args()
    book = load_rule_book()
    kinds: Counter[str] = Counter()
    tried = 0
    with contextlib.suppress(KeyboardInterrupt):
        for tried in range(options.cases):
            rng = random.Random(f"{options.seed} {tried}")
            case = random_case(rng)
            for said in all_that_breaks(case, book, typed=rng.random() < options.typed):
                kinds[said.split(":")[0]] += 1
                print(
                    f"{options.seed} {tried} {said}\n    {case.model} on {case.hardware} {case.answers}", flush=True
                )
        tried = options.cases
    print(f"{tried} cases: {dict(kinds) or 'nothing broken'}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
