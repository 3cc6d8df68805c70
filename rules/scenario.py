"""Scenarios: answers in, expected advice out. The file format, and the comparison with what came out.

    name = "S01"
    title = "Support chats on one RTX 4090"
    why = "LoRA in 16 bits fits; the guide would say QLoRA."

    [answers]                      # as the questions ask them; model and hardware too
    model = "Qwen3-8B"
    hardware = "1x RTX 4090"
    data.examples = 5000

    [facts]                        # facts that are not asked for, such as what is installed
    env.flash_attention = true

    [expect]
    verdict = "recommended"        # recommended | nothing_fits | do_not_fine_tune
    method = "lora"
    accept = ["qlora"]             # other methods that an expert would not reject
    fired = ["R11", "DEP-32"]      # rule ids, or rows of the evidence; on any candidate
    not_fired = ["R20"]

    [expect.settings]              # fields of the recommended plan
    lora_rank = 16                 # this value
    learning_rate = { min = 1e-4, max = 4e-4 }       # or [1e-4, 4e-4]
    optimizer = { one_of = ["adamw_8bit", "adamw_torch_fused"] }
    lora_targets = { contains = "all-linear" }

Running a scenario needs the whole advisor; this module only reads the file and compares.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from rules.check import fact_fault
from rules.engine import RuleBook
from rules.errors import RuleError, RuleProblem, did_you_mean, place
from rules.facts import BY_PATH, METHODS
from rules.rule import MAX_FILE_BYTES

Verdict = Literal["recommended", "nothing_fits", "do_not_fine_tune"]
NOT_FACTS = ("model", "dataset", "hardware", "output")
"""Answers that are not facts: the advisor makes facts of them."""
_RANGE_KEYS = ("min", "max", "one_of", "contains")


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an expert would answer."""

    verdict: Verdict = "recommended"
    method: str | None = None
    accept: tuple[str, ...] = ()
    fired: tuple[str, ...] = ()
    not_fired: tuple[str, ...] = ()
    settings: dict[str, Any] = {}


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question put to the whole advisor."""

    name: str
    title: str
    why: str = ""
    answers: dict[str, Any] = {}
    """Dotted keys, as on the command line without the dashes."""
    facts: dict[str, Any] = {}
    expect: Expectation


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What the advisor said, as far as a scenario looks at it."""

    verdict: str
    method: str | None
    settings: Mapping[str, Any]
    """Fields of the recommended plan (of the first rejected one when nothing fits)."""
    fired: Collection[str]
    """Ids of all rules that fired on any candidate."""


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises RuleError with everything that is wrong with the file."""
    raw, text = _read(path)
    for table in ("answers", "facts"):
        if isinstance(raw.get(table), dict):
            raw[table] = flatten(raw[table])
    try:
        scenario = msgspec.convert(raw, Scenario)
    except msgspec.ValidationError as error:
        raise RuleError(
            RuleProblem(what=str(error), fix="See rules/README.md, Scenarios.", where=str(path))
        ) from error
    problems = [*_fact_problems(path, text, scenario), *_expectation_problems(path, text, scenario.expect)]
    if problems:
        raise RuleError(*problems)
    return scenario


def differences(scenario: Scenario, answered: Answered, book: RuleBook) -> tuple[str, ...]:
    """Everything in which the advice differs from what was expected, each as a sentence; empty when it agrees."""
    expect = scenario.expect
    faults = []
    if answered.verdict != expect.verdict:
        faults.append(f"verdict is {answered.verdict}, expected {expect.verdict}")
    allowed = (expect.method, *expect.accept)
    if expect.method is not None and answered.method not in allowed:
        faults.append(f"method is {answered.method}, expected {' or '.join(str(name) for name in allowed)}")
    if answered.method == expect.method or expect.method is None:
        for name, expected in expect.settings.items():
            faults += _setting_fault(name, answered.settings.get(name), expected)
    faults += [f"{name} did not fire" for name in expect.fired if not _fired(name, answered, book)]
    faults += [f"{name} fired" for name in expect.not_fired if _fired(name, answered, book)]
    return tuple(faults)


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: {"data": {"examples": 5}} -> {"data.examples": 5}."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RuleError(RuleProblem(what=f"cannot read it: {error.strerror}", where=str(path))) from error
    if len(content) > MAX_FILE_BYTES:
        raise RuleError(RuleProblem(what="the file is larger than 64 KiB", where=str(path)))
    try:
        text = content.decode()
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or a number of thousands of digits
        raise RuleError(RuleProblem(what=f"not valid TOML: {error}", where=str(path))) from error


def _fact_problems(path: Path, text: str, scenario: Scenario) -> list[RuleProblem]:
    problems = []
    for name, value in {**scenario.answers, **scenario.facts}.items():
        if name in NOT_FACTS:
            continue
        fault = fact_fault(name, value)
        if fault:
            where = place(path, text, name.rpartition(".")[2]) if "." in name else str(path)
            problems.append(RuleProblem(what=fault[0], fix=fault[1], where=where))
    return problems


def _expectation_problems(path: Path, text: str, expect: Expectation) -> list[RuleProblem]:
    problems = []
    for method in (*([expect.method] if expect.method else []), *expect.accept):
        if method not in METHODS:
            what, fix = f"no method is called {method!r}", did_you_mean(method, METHODS)
            problems.append(RuleProblem(what=what, fix=fix, where=place(path, text, "method")))
    for name, wanted in expect.settings.items():
        if f"plan.{name}" not in BY_PATH:
            fields = [fact.removeprefix("plan.") for fact in BY_PATH if fact.startswith("plan.")]
            what, fix = f"the plan has no field {name!r}", did_you_mean(name, fields)
            problems.append(RuleProblem(what=what, fix=fix, where=place(path, text, name)))
        if isinstance(wanted, dict) and not set(wanted) <= set(_RANGE_KEYS):
            what = f"{name}: a range has {', '.join(_RANGE_KEYS)}, not {', '.join(wanted)}"
            problems.append(RuleProblem(what=what, where=place(path, text, name)))
    return problems


def _setting_fault(name: str, value: Any, expected: Any) -> list[str]:
    if isinstance(expected, list) and len(expected) == 2 and BY_PATH[f"plan.{name}"].type in ("int", "double"):
        expected = {"min": expected[0], "max": expected[1]}
    if isinstance(expected, dict):
        return [] if _within(value, expected) else [f"{name} is {value!r}, expected {_range_words(expected)}"]
    plain = list(value) if isinstance(value, tuple) else value
    return [] if plain == expected else [f"{name} is {plain!r}, expected {expected!r}"]


def _within(value: Any, expected: Mapping[str, Any]) -> bool:
    if "one_of" in expected and value not in expected["one_of"]:
        return False
    if "contains" in expected and expected["contains"] not in (value or ()):
        return False
    if "min" in expected and (value is None or value < expected["min"]):
        return False
    return not ("max" in expected and (value is None or value > expected["max"]))


def _range_words(expected: Mapping[str, Any]) -> str:
    return " and ".join(f"{key.replace('_', ' ')} {bound}" for key, bound in expected.items())


def _fired(name: str, answered: Answered, book: RuleBook) -> bool:
    """Whether a rule fired, or for a row of the evidence any rule that carries it."""
    if name in answered.fired:
        return True
    return any(name in rule.evidence for rule in book.rules if rule.id in answered.fired)
