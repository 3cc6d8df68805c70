"""One run of the set rules: from facts to the fields of a plan, layer after layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from rules.errors import RuleError, RuleProblem
from rules.facts import BY_PATH
from rules.rule import Outcome, Rule, Trace

if TYPE_CHECKING:
    from rules.expressions import Value, View

MAX_REMEMBERED = 2_000
"""Results kept of one expression; a search over what would change the answer needs some dozens."""

_UNFILLED = object()
"""In a cell: no rule gave the field a value."""


class Cell:
    """Results by the facts that they depend on."""

    __slots__ = ("paths", "read", "values")

    def __init__(self, paths: Iterable[str]) -> None:
        from rules.expressions import reader

        self.paths = tuple(dict.fromkeys(paths))
        self.read = reader(self.paths)
        self.values: dict[Any, Any] = {}

    def remember(self, key: Any, value: Any) -> None:
        """Keep a result; of too many all are forgotten."""
        if len(self.values) > MAX_REMEMBERED:
            self.values.clear()
        self.values[key] = value


class Book(Protocol):
    """What a run asks of the rule book."""

    rules: tuple[Rule, ...]

    def activation(self, facts: Mapping[str, Any]) -> View:
        """Facts as expressions read them."""

    def cell_of(self, *fields: str) -> Cell:
        """What was filled before, by the facts that the setters of these fields read."""

    def setters(self, field: str) -> list[Rule]:
        """The rules that may set a field."""

    def beats(self, rule: Rule) -> set[str]:
        """Ids of the rules that give way to this one."""

    def outcome(self, rule: Rule, data: View) -> tuple[Outcome, str]:
        """Whether the rule fires, and the error of one that could not be judged."""

    def evaluate(self, text: str, data: View) -> Value:
        """The value of an expression."""

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
        """What the rule said."""


class Fill:
    """One run of the set rules over one set of facts."""

    def __init__(self, book: Book, working: dict[str, Any], given: Mapping[str, Any], fixed: frozenset[str]) -> None:
        self.book = book
        self.working = working
        self.given = given
        self.fixed = fixed
        self.values: dict[str, Any] = {}
        self._sets: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, list[str]] = {}
        self._outcomes: dict[str, tuple[Outcome, str]] = {}
        self._data = book.activation(working)

    def judge(self, layer: Iterable[str]) -> None:
        """Fill the fields of one layer, none of which reads another."""
        self._learn({f"plan.{field}": self._judged(field) for field in layer})

    def recall(self, layer: tuple[str, ...]) -> None:
        """The same, without traces, by what was filled before where all that the rules read was the same."""
        cell = self.book.cell_of(*layer)
        key = self.fixed, cell.read(self._data.facts)
        if key not in cell.values:
            for field in layer:
                if field not in self.fixed:
                    self._recall_field(field)
            filled = {field: self.values[field] for field in layer if field in self.values}
            known = {f"plan.{field}": value for field, value in filled.items()}
            left = tuple(f"plan.{field}" for field in layer if field not in filled and field not in self.fixed)
            cell.remember(key, (filled, known, left))
        filled, known, left = cell.values[key]
        self.values |= filled
        self._learn(known)
        self._learn({path: self.given.get(path) for path in left})

    def _learn(self, values: Mapping[str, Any]) -> None:
        """What is known from now on; of a plan's field that stays empty nothing."""
        if None in values.values():
            values = {path: value for path, value in values.items() if value is not None}
        self.working |= values
        self._data.learn(values)

    def _recall_field(self, field: str) -> None:
        cell = self.book.cell_of(field)
        key = cell.read(self._data.facts)
        value = cell.values.get(key)
        if value is None:
            self._judged(field)
            cell.remember(key, self.values.get(field, _UNFILLED))
        elif value is not _UNFILLED:
            self.values[field] = value

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
