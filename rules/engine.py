"""Judge facts by the rule book: three-valued, deterministic, with a trace of every rule.

    book = load_rule_book()
    gates = book.judge(facts, effects=("gate",))
    values, traces = book.fill({**facts, "plan.method": "lora"}, fixed=("max_seq_len",))

Facts are a flat mapping `{"task.count": 1, ...}` in the vocabulary of facts.py. A fact that is None or absent is not
known; a rule that cannot be decided without it says "unknown" and names it. Order of judgement (gate, veto,
preference, tie) is the caller's business: rules only say what they see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rules.errors import RuleError, RuleProblem, nearest_name
from rules.facts import BY_PATH
from rules.fill import Cell, Fill
from rules.rule import ENGLISH, Outcome, Rule, Source, Trace, overridden_by

if TYPE_CHECKING:
    from rules.expressions import Value, View
    from rules.load import LoadedBook

__all__ = ["Rule", "RuleBook", "RuleError", "RuleProblem", "Trace", "load_rule_book"]


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
        self._chosen: dict[tuple[str, ...] | None, tuple[tuple[Rule, Cell], ...]] = {}
        self._cells: dict[str, Cell] = {}
        self._cells_of_fields: dict[tuple[str, ...], Cell] = {}
        self._decided: dict[frozenset[str], frozenset[str]] = {}
        """By the fields that are fixed: the facts that set rules decide."""
        self._layers = tuple(tuple(layer) for layer in loaded.layers)
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
        for rule, value in self._conditions(tuple(effects) if effects else None, data):
            if only_fired and not value.value:
                continue
            outcome: Outcome = ("fires" if value.value else "silent") if value.known else "unknown"
            if outcome == "fires" or not only_fired:
                traces.append(self.describe(rule, outcome, facts, data, error=value.error))
        return tuple(traces)

    def firing(self, facts: Mapping[str, Any], effects: Collection[str]) -> tuple[Rule, ...]:
        """The rules with one of these effects that fire, ordered by id, with nothing said of them."""
        return tuple(rule for rule, value in self._conditions(tuple(effects), self.activation(facts)) if value.value)

    def _conditions(self, effects: tuple[str, ...] | None, data: View) -> Iterator[tuple[Rule, Value]]:
        """The rules with one of these effects, each with the value of its condition."""
        known = data.facts
        for rule, cell in self._with_effects(effects):
            yield rule, cell.values.get(cell.read(known)) or self.evaluate(rule.when, data)

    def _with_effects(self, effects: tuple[str, ...] | None) -> tuple[tuple[Rule, Cell], ...]:
        """The rules with one of these effects, each with what is remembered of its condition."""
        chosen = self._chosen.get(effects)
        if chosen is None:
            rules = [rule for rule in self.rules if (rule.effect in effects if effects else rule.effect != "set")]
            chosen = tuple((rule, self._cells.get(rule.when) or self._new_cell(rule.when)) for rule in rules)
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

        kept = frozenset(fixed)
        decided = self._decided.get(kept)
        if decided is None:
            decided = self._decided[kept] = frozenset(f"plan.{field}" for field in self._setters.keys() - kept)
        given = {path: value for path, value in facts.items() if value is not None and path not in decided}
        run = Fill(self, given, facts, kept)
        for layer in self._layers:
            if traced:
                run.judge(layer)
            else:
                run.recall(layer)
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

            value = evaluate(self._expression(text), data, cell.paths)
            cell.remember(key, value)
        return value

    def _new_cell(self, *texts: str) -> Cell:
        from rules.expressions import facts_named

        cell = Cell(path for text in texts for path in facts_named(text))
        if len(texts) == 1:
            self._cells[texts[0]] = cell
        return cell

    def cell_of(self, *fields: str) -> Cell:
        """What was filled into these fields before, by everything that their rules read."""
        cell = self._cells_of_fields.get(fields)
        if cell is None:
            rules = [(rule, field) for field in fields for rule in self._setters[field]]
            texts = [text for rule, field in rules for text in (rule.when, rule.set[field])]
            cell = self._cells_of_fields[fields] = self._new_cell(*texts, "")
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
