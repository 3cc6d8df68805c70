"""What a rule book leaves out: rules that never fire, set rules that never win, facts no rule reads, combinations
of facts on which no rule speaks. Found by search over fact sets built from the numbers that stand in the rules.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from rules.engine import RuleBook
from rules.errors import RuleError
from rules.expressions import facts_named
from rules.facts import BY_PATH, FACTS, METHODS, Fact
from rules.messages import placeholders
from rules.rule import Rule

STRUCTURAL = ("method", "accelerator", "num_gpus")
"""Plan fields that the caller fixes before the set rules run."""
_NUMBER = re.compile(r"(?<![\w.])(\d[\d_]*(?:\.\d+)?(?:e-?\d+)?)")
_EXTREMES: dict[str, tuple[float, ...]] = {"int": (0, 1, 1_000, 10_000_000_000), "double": (0.0, 0.5, 1.0, 100.0)}


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What the search found."""

    schema: Literal["sft-advisor/coverage/v1"] = "sft-advisor/coverage/v1"
    """Name and version of this document."""
    never_fires: tuple[str, ...]
    """Rules that fired neither in their own cases nor in any fact set tried."""
    never_wins: tuple[str, ...]
    """Set rules that fired, and each time another rule decided every field."""
    unread_facts: tuple[str, ...]
    """Facts that no rule reads."""
    conflicts: tuple[str, ...]
    """Two set rules that fire on one field, each as a sentence with the facts that show it."""
    blind_spots: tuple[dict[str, Any], ...]
    """Combinations of the deciding facts on which no preference speaks for or against any method."""
    tried: int
    """Fact sets that were tried."""


def measure(book: RuleBook, *, samples: int = 400, seed: int = 1) -> Coverage:
    """Search `samples` random fact sets; about 10 ms each. The same seed gives the same answer."""
    fired, won, conflicts = set[str](), set[str](), dict[str, str]()
    sampler = Sampler(book)
    for number in range(samples):
        facts = sampler.sample(random.Random(f"{seed}.{number}"))
        try:
            values, settings = book.fill(facts, fixed=STRUCTURAL)
        except RuleError as error:
            for problem in error.problems:
                conflicts.setdefault(problem.what, f"{problem.what}, for example with {_shown(facts)}")
            continue
        judged = book.judge(facts | {f"plan.{field}": value for field, value in values.items()})
        fired |= {trace.rule_id for trace in (*judged, *settings) if trace.outcome == "fires"}
        won |= {trace.rule_id for trace in settings if trace.sets}
    setters = {rule.id for rule in book.rules if rule.effect == "set"}
    return Coverage(
        never_fires=tuple(sorted({rule.id for rule in book.rules} - fired - _from_cases(book))),
        never_wins=tuple(sorted(rule_id for rule_id in (setters & fired) - won if not _wins_a_case(book, rule_id))),
        unread_facts=unread_facts(book),
        conflicts=tuple(conflicts.values()),
        blind_spots=tuple(blind_spots(book)),
        tried=samples,
    )


def unread_facts(book: RuleBook) -> tuple[str, ...]:
    """Facts of the vocabulary that no expression or message of the book mentions."""
    texts = (text for rule in book.rules for text in rule.expressions)
    read = {path for text in texts for path in facts_named(text)}
    read |= {name for rule in book.rules for name, _ in placeholders(rule.message + rule.fix)}
    return tuple(path for path in BY_PATH if path not in read)


def blind_spots(book: RuleBook) -> Iterator[dict[str, Any]]:
    """Combinations of the deciding facts on which no preference speaks; the tie order alone decides there."""
    axes: dict[str, tuple[Any, ...]] = {
        "task.priority": ("quality", "iteration", "cost"),
        "task.shift": ("small", "medium", "large"),
        "machine.class": ("limited", "medium", "ample"),
        "fits.lora": (True, False),
        "data.completion_tokens": (1_000_000, 300_000_000, 3_000_000_000),
    }
    always: dict[str, Any] = {
        "gpu.memory_bytes": 84_000_000_000,
        "model.params": 8_000_000_000,
        "model.adapter_params_per_rank": 2_621_440,
        "model.held_params_per_rank": 2_621_440,
        "model.held_params_per_rank_in_4_bits": 2_621_440,
        "data.examples": 20_000,
        "data.kind": "instruct",
        "task.count": 1,
        "fits.qlora": True,
        "fits.full": True,
    }
    for combination in itertools.product(*axes.values()):
        facts = always | dict(zip(axes, combination, strict=True))
        facts["gpu.count"] = {"limited": 1, "medium": 4, "ample": 16}[facts["machine.class"]]
        if not any(_speaks(book, facts, method) for method in ("lora", "qlora", "full")):
            yield {path: facts[path] for path in axes}


def _speaks(book: RuleBook, facts: Mapping[str, Any], method: str) -> bool:
    plan = {"plan.method": method, "plan.lora_rank": 128, "plan.merge": False}
    traces = book.judge({**facts, **plan}, effects=("prefer", "avoid"))
    return any(trace.outcome == "fires" for trace in traces)


def _from_cases(book: RuleBook) -> set[str]:
    return {
        rule.id
        for rule in book.rules
        for case in rule.cases
        if case.expect == "fires" and book.outcome(rule, book.activation(case.given))[0] == "fires"
    }


def _wins_a_case(book: RuleBook, rule_id: str) -> bool:
    """Whether the rule decides a field when the whole book is run over the facts of one of its own cases."""
    for case in book.rule(rule_id).cases:
        with contextlib.suppress(RuleError):
            traces = book.fill(case.given, fixed=STRUCTURAL)[1]
            if any(trace.rule_id == rule_id and trace.sets for trace in traces):
                return True
    return False


def _shown(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{path} = {value}" for path, value in sorted(facts.items()))


class Sampler:
    """Random but well-typed fact sets: numbers at and beside every number that a rule compares the fact with."""

    def __init__(self, book: RuleBook) -> None:
        self._values = {fact.path: tuple(_values(fact, book.rules)) for fact in FACTS}

    def sample(self, source: random.Random) -> dict[str, Any]:
        """One fact set: every fact known with a probability that is itself drawn; the plan's axes always known."""
        share = source.choice((0.3, 0.6, 0.9, 1.0))
        facts = {
            path: source.choice(values)
            for path, values in self._values.items()
            if not path.startswith("plan.") and source.random() < share
        }
        facts["plan.method"] = source.choice(METHODS)
        facts["plan.accelerator"] = source.choice(BY_PATH["plan.accelerator"].choices)
        facts["plan.num_gpus"] = source.choice((1, 2, 8))
        if source.random() < 0.5:
            facts["plan.num_steps"] = source.choice((1, 60, 99, 100, 299, 300, 5_000))
        return facts


def _values(fact: Fact, rules: Iterable[Rule]) -> list[Any]:
    if fact.type == "bool":
        return [True, False]
    if fact.choices:
        return list(fact.choices)
    if fact.type == "list":
        return [["q_proj", "v_proj"], ["all-linear"], []]
    if fact.type == "string":
        return ["llama", *_texts_beside(fact.path, rules)]
    numbers = sorted({*_EXTREMES[fact.type], *_numbers_beside(fact.path, rules)})
    if fact.type == "double":
        return [float(number) for number in numbers]
    return sorted({max(0, int(number) + step) for number in numbers for step in (-1, 0, 1)})


def _numbers_beside(path: str, rules: Iterable[Rule]) -> Iterator[float]:
    for text in _comparisons(path, rules):
        yield from (float(number.replace("_", "")) for number in _NUMBER.findall(text))


def _texts_beside(path: str, rules: Iterable[Rule]) -> Iterator[str]:
    for text in _comparisons(path, rules):
        yield from re.findall(r"[\"']([^\"']+)[\"']", text)


def _comparisons(path: str, rules: Iterable[Rule]) -> Iterator[str]:
    """What stands to the right of a comparison with the fact."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(path)}\s*(?:<=|>=|==|!=|<|>|in)\s*(\[[^\]]*\]|[^&|)?]+)")
    for rule in rules:
        for text in rule.expressions:
            yield from pattern.findall(text)
