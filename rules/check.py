"""What a rule must satisfy before anything is judged with it; every failure names file, line and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from rules.errors import RuleProblem, did_you_mean, place
from rules.expressions import compile_checked, facts_named, facts_of
from rules.facts import BY_PATH, FactType
from rules.messages import UNITS, placeholders, stray_braces
from rules.rule import ID_PATTERN, SENTENCES, Case, Rule, Source, file_name, overridden_by

PLAN_FIELDS = tuple(path.removeprefix("plan.") for path in BY_PATH if path.startswith("plan."))
PYTHON_TYPES: dict[FactType, tuple[type, ...]] = {
    "int": (int,),
    "double": (int, float),
    "bool": (bool,),
    "string": (str,),
    "list": (list, tuple),
}


def check_rule(
    rule: Rule, text: str, sources: Mapping[str, Source], environment: Any, compiled: dict[str, bytes]
) -> list[RuleProblem]:
    """Problems of one rule by itself; adds its compiled expressions to `compiled`."""
    checker = _Checker(rule, text)
    checker.identity()
    checker.evidence(sources)
    checker.expressions(environment, compiled)
    checker.effect()
    checker.message()
    checker.translations()
    checker.cases()
    return checker.problems


class _Checker:
    def __init__(self, rule: Rule, text: str) -> None:
        self.rule = rule
        self.text = text
        self.problems: list[RuleProblem] = []

    def add(self, what: str, key: str, why: str = "", fix: str = "") -> None:
        where = place(self.rule.path, self.text, key)
        self.problems.append(RuleProblem(what=f"{self.rule.id}: {what}", why=why, fix=fix, where=where))

    def identity(self) -> None:
        rule = self.rule
        if not ID_PATTERN.fullmatch(rule.id):
            self.add("the id has the wrong form", "id", fix='Use capitals, a hyphen and digits: "ACME-01".')
            return
        name = file_name(rule.id, rule.title)
        if PurePath(rule.path).name != name:
            self.add("the file name does not follow from id and title", "title", fix=f"Call it {name}.")

    def evidence(self, sources: Mapping[str, Source]) -> None:
        if not self.rule.sources:
            self.add("no source is named", "sources", "no claim without a source", 'Add: sources = ["key"]')
        for where in ("sources", "against"):
            for key in getattr(self.rule, where):
                if key not in sources:
                    add = "Add it to rules/sources.toml (a rule of your own: to a sources.toml beside it)."
                    fix = " ".join([did_you_mean(key, sources), add]).strip()
                    self.add(f"no source is called {key!r}", where, fix=fix)
        if self.rule.strength == "opinion" and self.rule.effect in ("veto", "gate"):
            fix = 'Use effect = "avoid" or "warn", or cite evidence and raise the strength.'
            self.add(f"an opinion may not {self.rule.effect}", "effect", "a veto is never outvoted", fix)

    def expressions(self, environment: Any, compiled: dict[str, bytes]) -> None:
        self._expression("when", self.rule.when, "bool", environment, compiled)
        for field, expression in self.rule.set.items():
            fact = BY_PATH.get(f"plan.{field}")
            if fact is None:
                fix = did_you_mean(field, PLAN_FIELDS, "`sft-advisor explain facts` lists plan.*.")
                self.add(f"the plan has no field {field!r}", field, fix=fix)
                continue
            self._expression(field, expression, fact.type, environment, compiled)
            if fact.path in facts_named(self.rule.when) + facts_named(expression):
                self.add(f"sets {field} from itself", field, fix="Set an intermediate plan.* fact and read that.")
        for name, expression in self.rule.show.items():
            self._expression(name, expression, "any", environment, compiled)

    def _expression(self, key: str, text: str, wanted: str, environment: Any, compiled: dict[str, bytes]) -> None:
        serialised, faults = compile_checked(environment, text, wanted)
        if serialised is not None:
            compiled[text] = serialised
        for fault in faults:
            column = f", column {fault.column}" if fault.column else ""
            self.add(f"{key}{column}: {fault.what}", key, why=text.strip(), fix=fault.fix)

    def effect(self) -> None:
        rule = self.rule
        if rule.effect in ("prefer", "avoid") and rule.weight not in (0, 1, 2, 3):
            self.add(
                "needs a weight", rule.effect, fix="Add: weight = 1 (weak), 2 (medium), 3 (strong) or 0 (no points)."
            )
        if rule.effect not in ("prefer", "avoid") and rule.weight is not None:
            self.add(f"a {rule.effect} has no weight", "weight", fix="Remove it.")
        if rule.effect == "set" and not rule.set:
            self.add("sets nothing", "effect", fix='Add a table: [set] field = "expression".')
        if rule.effect != "set" and (rule.set or rule.overrides or rule.default):
            self.add(f"a {rule.effect} cannot set, override or be a default", "effect", fix='Use effect = "set".')

    def message(self) -> None:
        for key in ("message", "fix"):
            template = getattr(self.rule, key)
            if stray_braces(template):
                self.add(f"{key} has a brace that is not a placeholder", key, fix="Write {fact.path} or {name:unit}.")
            for name, unit in placeholders(template):
                names = (*BY_PATH, *self.rule.show)
                if name not in names:
                    self.add(f"{key} asks for {name!r}, which is not a fact", key, fix=did_you_mean(name, names))
                if unit and unit not in UNITS:
                    self.add(f"{key} has no unit {unit!r}", key, fix=f"Units are {', '.join(UNITS)}.")
        if not self.rule.message.strip():
            self.add("has no message", "message")

    def translations(self) -> None:
        for language, wording in self.rule.translations.items():
            for key in SENTENCES:
                text, english = getattr(wording, key), getattr(self.rule, key)
                where = f"{key} in {language}"
                if bool(text) != bool(english):
                    self.add(f"{where} is {'missing' if english else 'of nothing'}", "translations")
                elif set(placeholders(text)) != set(placeholders(english)) or stray_braces(text):
                    names = sorted(f"{{{name}}}" for name, _ in placeholders(english))
                    self.add(
                        f"{where} has other placeholders", "translations", fix=f"Use: {', '.join(names) or 'none'}."
                    )

    def cases(self) -> None:
        outcomes = {case.expect for case in self.rule.cases}
        expected = ["fires"]
        if facts_named(self.rule.when):
            expected.append("silent")
        if can_be_unknown(self.rule):
            expected.append("unknown")
        for outcome in expected:
            if outcome not in outcomes:
                fix = f'Add: [[cases]] name = "...", given = {{ ... }}, expect = "{outcome}".'
                self.add(f"has no case that expects {outcome!r}", "cases", "cases are the tests of a rule", fix)
        for case in self.rule.cases:
            self._case(case)

    def _case(self, case: Case) -> None:
        for path, value in case.given.items():
            fault = fact_fault(path, value)
            if fault:
                self.add(f"case {case.name!r}: {fault[0]}", "cases", fix=fault[1])
        for field in case.sets:
            if field not in self.rule.set:
                fix = did_you_mean(field, self.rule.set)
                self.add(f"case {case.name!r} expects {field!r}, which the rule does not set", "cases", fix=fix)


def can_be_unknown(rule: Rule) -> bool:
    """Whether a missing fact can leave the condition undecided: it reads one outside a `known.` guard."""
    guarded = {path for path in facts_of(rule.when) if f"known.{path}" in rule.when}
    return bool(set(facts_of(rule.when)) - guarded)


def fact_fault(path: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a fact's name or value, and the remedy; None when it is in order."""
    fact = BY_PATH.get(path)
    if fact is None:
        return f"no fact is called {path!r}", did_you_mean(path, BY_PATH, "`sft-advisor explain facts` lists them.")
    accepted = PYTHON_TYPES[fact.type]
    if not isinstance(value, accepted) or (isinstance(value, bool) and fact.type != "bool"):
        return f"{path} is {value!r}, but a {fact.type} is needed", ""
    if fact.choices and value not in fact.choices:
        return f"{path} is never {value!r}", did_you_mean(
            str(value), fact.choices, f"It can be {', '.join(fact.choices)}."
        )
    return None


def check_book(rules: Iterable[Rule]) -> list[RuleProblem]:
    """Problems between rules: an id used twice, an override that leads nowhere or in a circle, fields in a circle."""
    rules = list(rules)
    problems: list[RuleProblem] = []
    by_id: dict[str, Rule] = {}
    for rule in rules:
        first = by_id.setdefault(rule.id, rule)
        if first is not rule:
            fix = f'Choose another id, or say replaces = "{rule.id}" to take its place.'
            what = f"the id {rule.id} is used twice"
            problems.append(RuleProblem(what=what, why=f"also in {first.path}", fix=fix, where=rule.path))
    problems += _override_problems(rules, by_id)
    problems += _field_problems(rules)
    return problems


def _override_problems(rules: list[Rule], by_id: Mapping[str, Rule]) -> list[RuleProblem]:
    problems = []
    for rule in rules:
        for other in rule.overrides:
            where = rule.path
            if other not in by_id:
                fix = did_you_mean(other, by_id, "`sft-advisor rules list` shows the ids.")
                what = f"{rule.id} overrides {other!r}, which does not exist"
                problems.append(RuleProblem(what=what, fix=fix, where=where))
            elif not set(by_id[other].set) & set(rule.set):
                what = f"{rule.id} overrides {other}, but they set no field in common"
                problems.append(RuleProblem(what=what, fix="Remove it from `overrides`.", where=where))
        if rule.id in overridden_by(rule, by_id):
            what = f"{rule.id} overrides itself in a circle"
            fix = "Decide which of the rules wins and remove the other override."
            problems.append(RuleProblem(what=what, why=" -> ".join(rule.overrides), fix=fix, where=rule.path))
    return problems


def field_needs(rules: Iterable[Rule]) -> dict[str, set[str]]:
    """Plan field -> the plan fields that must be decided before it, by every rule that sets it."""
    rules = list(rules)
    settable = {field for rule in rules for field in rule.set}
    needs: dict[str, set[str]] = {field: set() for field in sorted(settable)}
    for rule in rules:
        for field, expression in rule.set.items():
            read = {path.removeprefix("plan.") for path in facts_named(rule.when) + facts_named(expression)}
            needs[field] |= (read & settable) - {field}
    return needs


def field_layers(rules: Iterable[Rule]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Plan fields in layers, each needing only fields of earlier ones; and those that wait for each other."""
    needs = field_needs(rules)
    layers: list[tuple[str, ...]] = []
    done: set[str] = set()
    while needs:
        ready = tuple(sorted(field for field, before in needs.items() if before <= done))
        if not ready:
            return tuple(layers), tuple(needs)
        layers.append(ready)
        done.update(ready)
        for field in ready:
            del needs[field]
    return tuple(layers), ()


def _field_problems(rules: list[Rule]) -> list[RuleProblem]:
    stuck = field_layers(rules)[1]
    if not stuck:
        return []
    setters = sorted({f"{rule.id} ({rule.path})" for rule in rules if set(rule.set) & set(stuck)})
    return [
        RuleProblem(
            what=f"these plan fields wait for each other: {', '.join(stuck)}",
            why=f"they are set by {', '.join(setters)}",
            fix="Let one of the rules read an intermediate plan.* fact instead.",
        )
    ]
