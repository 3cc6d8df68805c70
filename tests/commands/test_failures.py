"""An error of any room becomes what, why, what to do, and an exit code that is said in one place."""

import ast
from pathlib import Path

import pytest

from advisor.base import errors as advisor_errors
from advisor.base.errors import AdvisorError, Problem
from advisor.commands.failures import explain_failure
from rules.errors import RuleError, RuleProblem
from trainers import errors as trainers_errors
from trainers import exit_codes
from trainers.errors import RunError
from trainers.plan import PlanError
from trainers.training.embedded import EmbeddedModelError

HOUSE = Path(__file__).parents[2]
RUN_ERRORS = [
    kind for kind in vars(trainers_errors).values() if isinstance(kind, type) and issubclass(kind, RunError)
]
OWN_ERRORS = [
    kind for kind in vars(advisor_errors).values() if isinstance(kind, type) and issubclass(kind, AdvisorError)
]


@pytest.mark.parametrize("kind", RUN_ERRORS)
def test_an_error_of_a_run_is_told_in_three_parts_with_its_own_code(kind: type[RunError]) -> None:
    lines, code = explain_failure(kind("it broke", why="a reason", fix="a way out"))
    assert lines == ["error: it broke", "  why: a reason", "  try: a way out"]
    assert code == kind.exit_code
    assert code in exit_codes.STATES


@pytest.mark.parametrize("kind", OWN_ERRORS)
def test_all_problems_of_an_advisor_error_are_told(kind: type[AdvisorError]) -> None:
    lines, code = explain_failure(kind(Problem(what="one"), Problem(what="two", where="a.toml:3")))
    assert lines == ["error: one", "error: two (a.toml:3)"]
    assert code == kind.exit_code


def test_errors_of_rules_plans_and_the_embedded_model_are_told_alike() -> None:
    problem = RuleProblem(what="no such field", why="a typo", fix="Did you mean x?", where="a.toml:3")
    lines, code = explain_failure(RuleError(problem))
    assert lines == ["error: no such field (a.toml:3)", "  why: a typo", "  try: Did you mean x?"]
    assert code == exit_codes.BAD_PLAN
    assert explain_failure(PlanError("no method")) == (["error: no method"], exit_codes.BAD_PLAN)
    told = explain_failure(EmbeddedModelError("it is missing", "not installed", "Install it"))
    assert told == (["error: it is missing", "  why: not installed", "  try: Install it"], exit_codes.ENVIRONMENT)


def test_what_nobody_foresaw_is_a_bug() -> None:
    lines, code = explain_failure(ZeroDivisionError("division by zero"))
    assert code == exit_codes.CRASHED
    assert "ZeroDivisionError" in lines[0]


def test_exit_codes_are_numbers_in_one_file_only() -> None:
    numbers = {
        str(file.relative_to(HOUSE))
        for room in ("advisor", "rules", "trainers")
        for file in (HOUSE / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, int)
        for target in node.targets
        if isinstance(target, ast.Name) and (target.id.startswith("EXIT_") or target.id == "exit_code")
    }
    assert not numbers
    known = [value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)]
    assert len(set(known)) == len(known)
