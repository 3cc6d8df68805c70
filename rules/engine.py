"""Judge facts by the rule book: three-valued, deterministic, with a trace of every rule.

    book = load_rule_book()
    gates = book.judge(facts, effects=("gate",))
    values, traces = book.fill({**facts, "plan.method": "lora"}, fixed=("max_seq_len",))

Facts are a flat mapping `{"task.count": 1, ...}` in the vocabulary of facts.py. A fact that is None or absent is not
known; a rule that cannot be decided without it says "unknown" and names it. Order of judgement (gate, veto,
preference, tie) is the caller's business: rules only say what they see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rules.errors import RuleError, RuleProblem, nearest_name
from rules.facts import BY_PATH
from rules.rule import ENGLISH, Effect, Outcome, Rule, Source, Strength, overridden_by

if TYPE_CHECKING:
    from rules.expressions import Value, View
    from rules.load import LoadedBook

MAX_REMEMBERED = 2_000
"""Results kept of one expression; a search over what would change the answer needs some dozens."""

__all__ = ["Rule", "RuleBook", "RuleError", "RuleProblem", "Trace", "load_rule_book"]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule said of one set of facts."""

    rule_id: str
    title: str
    group: str
    effect: Effect
    outcome: Outcome
    message: str
    """The rule's message with the numbers it saw; for an undecided rule, what is missing."""
    because: str = ""
    """What the evidence says, for a rule that fired; empty otherwise."""
    fix: str = ""
    strength: Strength
    sources: tuple[str, ...]
    weight: int = 0
    """Positive for `prefer`, negative for `avoid`, 0 for every other effect."""
    facts: dict[str, Any] = {}
    """The facts that its condition (and its settings) read, with their values."""
    missing: tuple[str, ...] = ()
    """Facts that it needed and that are not known; empty unless the outcome is "unknown"."""
    sets: dict[str, Any] = {}
    """Plan fields that it set. Empty for a set rule that fired but gave way; the message says to what."""


class _Cell:
    """Results by the facts that they depend on."""

    __slots__ = ("paths", "read", "values")

    def __init__(self, paths: Iterable[str]) -> None:
        from rules.expressions import reader

        self.paths = tuple(dict.fromkeys(paths))
        self.read = reader(self.paths)
        self.values: dict[Any, Any] = {}


_UNFILLED = object()
"""In a cell: no rule gave the field a value."""


class RuleBook:
    """A checked rule book. Immutable; judging it has no side effects."""

    def __init__(self, loaded: LoadedBook) -> None:
        from rules.expressions import new_environment

        self.rules: tuple[Rule, ...] = loaded.rules
        self.sources: dict[str, Source] = loaded.sources
        self.digest: str = loaded.digest
        self._by_id = {rule.id: rule for rule in loaded.rules}
        self._beats = {rule.id: overridden_by(rule, self._by_id) for rule in loaded.rules if rule.overrides}
        self._environment = new_environment()
        self._serialised = loaded.compiled
        self._compiled: dict[str, Any] = {}
        self._facts = loaded.reads
        self._chosen: dict[tuple[str, ...] | None, tuple[Rule, ...]] = {}
        self._cells: dict[str, _Cell] = {}
        self._field_cells: dict[str, _Cell] = {}
        self._layers = loaded.layers
        self._setters: dict[str, list[Rule]] = {field: [] for field in self.settable}
        for rule in loaded.rules:
            for field in rule.set:
                self._setters[field].append(rule)

    def rule(self, rule_id: str) -> Rule:
        """The rule of that id (any case). Raises RuleError naming the nearest id."""
        rule = self._by_id.get(rule_id.upper())
        if rule is None:
            close = nearest_name(rule_id.upper(), self._by_id)
            fix = f"Did you mean {close}?" if close else "`sft-advisor rules list` shows the ids."
            raise RuleError(RuleProblem(what=f"no rule is called {rule_id!r}", fix=fix))
        return rule

    @property
    def settable(self) -> tuple[str, ...]:
        """Plan fields that some rule sets, in the order in which they are filled."""
        return tuple(field for layer in self._layers for field in layer)

    def judge(
        self, facts: Mapping[str, Any], effects: Collection[str] | None = None, *, only_fired: bool = False
    ) -> tuple[Trace, ...]:
        """A trace of every rule with one of these effects (None: all but `set`), ordered by id.

        `only_fired` leaves out the rules that are silent or undecided. Raises RuleError when a fact is not in the
        vocabulary.
        """
        data = self.activation(facts)
        traces = []
        for rule in self._with_effects(tuple(effects) if effects else None):
            value = self.evaluate(rule.when, data)
            outcome: Outcome = ("fires" if value.value else "silent") if value.known else "unknown"
            if outcome == "fires" or not only_fired:
                traces.append(self.describe(rule, outcome, facts, data, error=value.error))
        return tuple(traces)

    def _with_effects(self, effects: tuple[str, ...] | None) -> tuple[Rule, ...]:
        chosen = self._chosen.get(effects)
        if chosen is None:
            chosen = tuple(
                rule for rule in self.rules if (rule.effect in effects if effects else rule.effect != "set")
            )
            self._chosen[effects] = chosen
        return chosen

    def fill(
        self, facts: Mapping[str, Any], fixed: Collection[str] = (), *, traced: bool = True
    ) -> tuple[dict[str, Any], tuple[Trace, ...]]:
        """Run the set rules: plan field -> value, and (if `traced`) a trace of every set rule, ordered by id.

        Fields are filled in the order of their dependencies; a value already given in `facts` and not in `fixed`
        stands only where no rule speaks. A `default` rule speaks only when no other does, and `overrides` settles
        which of two that fire wins. Fields in `fixed` are never changed, and the trace of a rule that wanted to
        says so. Raises RuleError when two rules that both fire set the same field and neither overrides.
        """
        given = {path: value for path, value in facts.items() if value is not None}
        for field in self._setters:
            if field not in fixed:
                given.pop(f"plan.{field}", None)
        run = _Fill(self, given, facts, frozenset(fixed))
        for layer in self._layers:
            run.decide(layer, remember=not traced)
        return run.values, run.traces() if traced else ()

    def beats(self, rule: Rule) -> set[str]:
        """Ids of the set rules that give way to this one, directly or through another."""
        return self._beats.get(rule.id, set())

    def setters(self, field: str) -> list[Rule]:
        """The set rules of one plan field."""
        return self._setters[field]

    def evaluate(self, text: str, data: View) -> Value:
        """The Value of an expression of the book. Remembered by the facts it names: candidates share most of them."""
        cell = self._cells.get(text) or self._new_cell(text)
        key = cell.read(data.facts)
        value = cell.values.get(key)
        if value is None:
            from rules.expressions import evaluate

            if len(cell.values) > MAX_REMEMBERED:
                cell.values.clear()
            value = cell.values[key] = evaluate(self._expression(text), data, cell.paths)
        return value

    def _new_cell(self, *texts: str) -> _Cell:
        from rules.expressions import facts_named

        cell = _Cell(path for text in texts for path in facts_named(text))
        if len(texts) == 1:
            self._cells[texts[0]] = cell
        return cell

    def field_cell(self, field: str) -> _Cell:
        """What was filled into a field before, by everything that its rules read."""
        cell = self._field_cells.get(field)
        if cell is None:
            texts = [text for rule in self._setters[field] for text in (rule.when, rule.set[field])]
            cell = self._field_cells[field] = self._new_cell(*texts, "")
        return cell

    def facts_read(self, *texts: str) -> tuple[str, ...]:
        """Facts that these expressions of the book read for their value."""
        return tuple(dict.fromkeys(path for text in texts for path in self._facts[text]))

    def activation(self, facts: Mapping[str, Any]) -> View:
        """The facts as the expressions see them. Raises RuleError when one is not in the vocabulary."""
        from rules.expressions import View

        if not facts.keys() <= BY_PATH.keys():
            raise RuleError(*(_unknown_fact(path) for path in facts if path not in BY_PATH))
        return View(self._environment, facts)

    def _expression(self, text: str) -> Any:
        expression = self._compiled.get(text)
        if expression is None:
            expression = self._compiled[text] = self._environment.deserialize(self._serialised[text])
        return expression

    def outcome(self, rule: Rule, data: View) -> tuple[Outcome, str]:
        """Whether a rule's condition holds, and the arithmetic error that left it undecided, if any."""
        value = self.evaluate(rule.when, data)
        if not value.known:
            return "unknown", value.error
        return ("fires" if value.value else "silent"), ""

    def describe(
        self,
        rule: Rule,
        outcome: Outcome,
        facts: Mapping[str, Any],
        data: View,
        *,
        sets: Mapping[str, Any] | None = None,
        note: str = "",
        error: str = "",
    ) -> Trace:
        """The trace of a rule whose outcome is known, its message rendered."""
        read = self.facts_read(rule.when, *rule.set.values()) if outcome == "fires" else self._facts[rule.when]
        missing = tuple(path for path in read if facts.get(path) is None) if outcome == "unknown" else ()
        message, fix = rule.title, ""
        if outcome == "fires":
            message, fix = self._render(rule, facts, data)
        elif outcome == "unknown":
            message = f"Not decided: {error or 'not known: ' + ', '.join(missing)}"
        return Trace(
            rule_id=rule.id,
            title=rule.title,
            group=rule.group,
            effect=rule.effect,
            outcome=outcome,
            message=f"{message} {note}".strip(),
            because=rule.because if outcome == "fires" else "",
            fix=fix,
            strength=rule.strength,
            sources=rule.sources,
            weight=rule.signed_weight,
            facts={path: facts[path] for path in read if facts.get(path) is not None},
            missing=missing,
            sets=dict(sets or {}),
        )

    def _render(self, rule: Rule, facts: Mapping[str, Any], data: View) -> tuple[str, str]:
        from rules.messages import render

        figures = {name: self.evaluate(text, data).value for name, text in rule.show.items()}
        return render(rule.message, facts, figures), render(rule.fix, facts, figures)


class _Fill:
    """One run of the set rules over one set of facts."""

    def __init__(
        self, book: RuleBook, working: dict[str, Any], given: Mapping[str, Any], fixed: frozenset[str]
    ) -> None:
        self.book = book
        self.working = working
        self.given = given
        self.fixed = fixed
        self.values: dict[str, Any] = {}
        self._sets: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, list[str]] = {}
        self._outcomes: dict[str, tuple[Outcome, str]] = {}
        self._data = book.activation(working)

    def decide(self, layer: Iterable[str], *, remember: bool) -> None:
        """Fill the fields of one layer, none of which reads another. A remembered field leaves no trace behind."""
        values = {field: self._remembered(field) if remember else self._judged(field) for field in layer}
        for field, value in values.items():
            if value is not None:
                self.working[f"plan.{field}"] = value
                self._data.learn(f"plan.{field}", value)

    def _remembered(self, field: str) -> Any:
        if field in self.fixed:
            return None
        cell = self.book.field_cell(field)
        key = cell.read(self._data.facts)
        value = cell.values.get(key)
        if value is _UNFILLED:
            return self.given.get(f"plan.{field}")
        if value is not None:
            self.values[field] = value
            return value
        value = self._judged(field)
        cell.values[key] = value if field in self.values else _UNFILLED
        return value

    def _judged(self, field: str) -> Any:
        """What the field is from now on; None when neither a rule nor the caller says."""
        self._outcomes |= {rule.id: self.book.outcome(rule, self._data) for rule in self.book.setters(field)}
        firing = [rule for rule in self.book.setters(field) if self._outcomes[rule.id][0] == "fires"]
        winner = self._winner(field, firing)
        if field in self.fixed:
            if winner is not None:
                kept = self.working.get(f"plan.{field}")
                self._note(winner, f"({field} is fixed at {kept!r} and was left alone.)")
            return None
        if winner is None:
            return self.given.get(f"plan.{field}")
        evaluated = self.book.evaluate(winner.set[field], self._data)
        if not evaluated.known:
            self._note(winner, f"({field} could not be computed: {evaluated.error or 'a fact is missing'}.)")
            return None
        value = _plain(field, evaluated.value)
        self.values[field] = value
        self._sets.setdefault(winner.id, {})[field] = value
        return value

    def traces(self) -> tuple[Trace, ...]:
        """Every set rule as it was judged, its message over the facts as they are when all fields are filled."""
        traces = []
        for rule in self.book.rules:
            if rule.effect == "set":
                outcome, error = self._outcomes[rule.id]
                sets, note = self._sets.get(rule.id, {}), " ".join(self._notes.get(rule.id, []))
                traces.append(
                    self.book.describe(rule, outcome, self.working, self._data, sets=sets, note=note, error=error)
                )
        return tuple(traces)

    def _winner(self, field: str, firing: Iterable[Rule]) -> Rule | None:
        firing = list(firing)
        spoken = [rule for rule in firing if not rule.default] or firing
        beaten = {loser: rule for rule in spoken for loser in self.book.beats(rule)}
        standing = [rule for rule in spoken if rule.id not in beaten]
        for rule in firing:
            if rule not in standing and standing:
                self._note(rule, f"({field}: {standing[0].id} decides.)")
        if len(standing) > 1:
            raise RuleError(self._conflict(field, standing))
        return standing[0] if standing else None

    def _conflict(self, field: str, rules: list[Rule]) -> RuleProblem:
        names = " and ".join(f"{rule.id} ({rule.set[field]})" for rule in rules)
        first, second = rules[0].id, rules[1].id
        return RuleProblem(
            what=f"two rules set {field} at the same time: {names}",
            why="; ".join(f"{rule.id} when {rule.when.strip()}" for rule in rules),
            fix=f'Narrow one condition, or let one win: overrides = ["{second}"] in {first}.',
            where=", ".join(rule.path for rule in rules),
        )

    def _note(self, rule: Rule, note: str) -> None:
        self._notes.setdefault(rule.id, []).append(note)


def _plain(field: str, value: Any) -> Any:
    """The value as the plan holds it: lists as tuples, doubles without the dust of binary arithmetic (3e-4)."""
    if BY_PATH[f"plan.{field}"].type == "double":
        return float(f"{float(value):.12g}")
    return tuple(value) if isinstance(value, list) else value


def _unknown_fact(path: str) -> RuleProblem:
    close = nearest_name(path, BY_PATH)
    return RuleProblem(what=f"no fact is called {path!r}", fix=f"Did you mean {close!r}?" if close else "")


def load_rule_book(extra: Path | None = None, cache: Path | None = None, language: str = ENGLISH) -> RuleBook:
    """The bundled rules, with an organisation's folder on top that may add or replace some.

    `cache` is a folder, which need not exist, that keeps the compiled rules for the next time. Rules that have no
    translation into `language` keep their English sentences.

    Raises RuleError with every problem of every file: what, why, what to do, and `file:line`.
    """
    from rules.load import load

    return RuleBook(load(extra, cache, language))
