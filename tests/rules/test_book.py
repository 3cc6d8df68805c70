"""The book as it is shipped: every case of every rule, its shape, and what it covers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rules.cases import run_case
from rules.coverage import measure
from rules.engine import RuleBook, load_rule_book
from rules.explain import GROUP_TITLES, guide_rows_of_pages
from rules.load import BOOK
from rules.rule import Case, Rule

RULES = load_rule_book().rules
CASES = [pytest.param(rule, case, id=f"{rule.id}:{case.name}") for rule in RULES for case in rule.cases]

_GUIDE_ROWS = """
SD-HW1 SD-HW2a SD-HW2b SD-HW3 SD-TN1 SD-TN2 SD-TN3 SD-DP1 SD-ST1 SD-SUM1 SD-SUM2 SD-SUM3
SD-CT1 SD-CT2 SD-CT3 SD-CT4 SD-CT5 SD-CT6 SD-CT7 SD-CT8 SD-CT9
SD-FF0 SD-FF1 SD-FF2 SD-FF3 SD-FF4 SD-FF5 SD-FF6 SD-PE0
SD-LO0 SD-LO1 SD-LO2 SD-LO3 SD-LO4 SD-LO5 SD-LO6 SD-LO7 SD-LO8 SD-LO9 SD-LO10 SD-LO11 SD-LO12
SD-QL0 SD-QL1 SD-QL2 SD-QL3 SD-QL4 SD-QL5 SD-QL6
"""
GUIDE_ROWS = frozenset(_GUIDE_ROWS.split())
EXPLAINED_ONLY = {"SD-FF0", "SD-FF2", "SD-PE0", "SD-LO0", "SD-LO2", "SD-LO4"}
"""Definitions and steps: text for a reader, nothing to decide."""
FORBIDDEN_TITLES = re.compile(
    r"^(use|avoid|prefer|do not|don't|consider|choose|set|merge|train|enable) ", re.IGNORECASE
)


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule: Rule, case: Case, book: RuleBook) -> None:
    assert run_case(book, rule, case).detail == ""


def test_every_row_of_the_decision_guide_is_a_rule_or_a_line_of_a_page(book: RuleBook) -> None:
    by_rules = {row for rule in book.rules for row in rule.evidence}
    assert GUIDE_ROWS - by_rules - guide_rows_of_pages() == set()
    assert GUIDE_ROWS - by_rules <= EXPLAINED_ONLY


def test_every_proposed_rule_and_every_correction_is_in_the_book(book: RuleBook) -> None:
    wanted = {f"R{number:02d}" for number in range(1, 65)} | {f"K{number}" for number in range(1, 16)}
    assert wanted - {row for rule in book.rules for row in rule.evidence} == set()


def test_no_rule_carries_a_row_that_does_not_exist(book: RuleBook) -> None:
    known = {f"R{number:02d}" for number in range(1, 65)} | {f"K{number}" for number in range(1, 16)}
    carried = {row for rule in book.rules for row in rule.evidence} | guide_rows_of_pages()
    assert carried - known - GUIDE_ROWS == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_shape(rule: Rule) -> None:
    assert rule.group in GROUP_TITLES
    assert rule.because, "the evidence is said in words"
    assert not FORBIDDEN_TITLES.match(rule.title), "a rule is named after the situation, not the remedy"
    assert len(rule.title) <= 80
    assert rule.message.rstrip().endswith((".", "?")), "a message is a sentence"
    if rule.effect in ("gate", "veto"):
        assert rule.fix, "who is refused something is told what to do"
    if rule.effect == "veto":
        assert rule.strength != "opinion"


def test_every_source_is_cited_and_described(book: RuleBook) -> None:
    unread = set(book.sources) - {key for rule in book.rules for key in (*rule.sources, *rule.against)}
    assert not unread, f"rules/sources.toml: no rule cites {unread}"
    for key, source in book.sources.items():
        assert source.title, f"rules/sources.toml: {key} has no title"
        found = source.url or source.kind in ("arithmetic", "measurement", "guide")
        assert found, f"{key} has no url, where its claim can be read; every source stands in rules/sources.toml"


def test_files_lie_in_the_folder_of_their_prefix() -> None:
    folders = {path.parent.name: path.name.split("-")[0] for path in BOOK.rglob("*.toml")}
    assert folders == {
        "gate": "GATE",
        "hardware": "HW",
        "precision": "PRE",
        "quality": "QUA",
        "deployment": "DEP",
        "storage": "STO",
        "data": "DATA",
        "hyperparameters": "HYP",
        "security": "SEC",
    }


def test_coverage(book: RuleBook) -> None:
    """No rule is dead, no two set rules collide, every deciding combination has a rule that speaks."""
    found = measure(book, samples=500, seed=7)
    assert found.never_fires == ()
    assert found.never_wins == ()
    assert found.conflicts == ()
    assert found.blind_spots == ()


def test_every_field_of_a_plan_is_set_by_a_rule(book: RuleBook) -> None:
    from trainers.plan import TrainingPlan

    chosen_elsewhere = {
        "schema": "format",
        "model": "an answer",
        "dataset": "an answer",
        "output_dir": "an answer",
        "method": "search over methods",
        "accelerator": "the machine",
        "num_gpus": "the machine",
        "num_nodes": "the machine",
        "device_uuids": "the machine",
        "micro_batch_size": "the largest that fits",
        "gradient_accumulation_steps": "batch arithmetic",
        "max_steps": "a wish only",
        "trainable_token_indices": "plan.train_new_tokens says whether, the tokenizer which",
        "leave_out": "a wish only",
        "max_pixels": "a wish only",
        "report_to": "an answer",
        "delivery": "plan.artifact, plan.weights, plan.engine",
        "predicted_peak_bytes": "the estimate",
        "made_for": "the machine and the estimate",
        "set_by": "kept with each value",
    }
    assert set(TrainingPlan.__struct_fields__) - set(book.settable) == set(chosen_elsewhere)


def test_source_tree_and_installed_package_hold_the_same_book() -> None:
    assert Path(BOOK).is_dir()
    assert len(RULES) > 200
