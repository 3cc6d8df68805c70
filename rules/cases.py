"""Run the cases that stand in the rule files: they are the tests of the rules."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rules.engine import RuleBook
from rules.errors import RuleError
from rules.rule import Case, Rule


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule said of one of its cases."""

    schema: Literal["sft-advisor/cases/v1"] = "sft-advisor/cases/v1"
    """Name and version of the document that this is a row of."""
    rule_id: str
    """The rule."""
    case: str
    """Its case, by name."""
    passed: bool
    """Whether it came out as the case expects."""
    detail: str = ""
    """For a failed case: what was expected and what came instead."""


def run_cases(book: RuleBook, rules: tuple[Rule, ...] | None = None) -> tuple[CaseResult, ...]:
    """Every case of these rules (None: of the whole book), in order."""
    return tuple(run_case(book, rule, case) for rule in rules or book.rules for case in rule.cases)


def run_case(book: RuleBook, rule: Rule, case: Case) -> CaseResult:
    """One case: the outcome of the condition, and for a set rule the values it gives."""
    try:
        detail = _outcome_fault(book, rule, case) or _value_fault(book, rule, case)
    except RuleError as error:
        detail = str(error)
    return CaseResult(rule_id=rule.id, case=case.name, passed=not detail, detail=detail)


def _outcome_fault(book: RuleBook, rule: Rule, case: Case) -> str:
    outcome, error = book.outcome(rule, book.activation(case.given))
    if outcome == case.expect:
        return ""
    return f"expected {case.expect!r}, got {outcome!r} {error}".strip()


def _value_fault(book: RuleBook, rule: Rule, case: Case) -> str:
    """Settings are computed by this rule alone, as if no other rule set the same field."""
    if case.expect != "fires":
        return ""
    data = book.activation(case.given)
    faults = []
    for field, expected in case.sets.items():
        value = book.evaluate(rule.set[field], data)
        if not value.known or not _same(value.value, expected):
            faults.append(f"{field} is {value.value!r}, expected {expected!r}")
    return "; ".join(faults)


def _same(value: Any, expected: Any) -> bool:
    if isinstance(value, float) or isinstance(expected, float):
        return bool(abs(float(value) - float(expected)) <= 1e-9 * max(1.0, abs(float(expected))))
    return bool(value == expected)
