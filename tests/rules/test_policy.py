"""Tools for an organisation's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules import policy
from rules.engine import RuleBook, RuleError, load_rule_book
from rules.load import BOOK
from rules.policy import check_folder, new_rule, rule_rows
from rules.rule import EFFECTS, Effect


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_template_of_every_effect_passes_the_check_as_it_stands(effect: Effect, tmp_path: Path) -> None:
    path = new_rule(tmp_path, "ACME-01", "Several tasks in full", effect)
    report = check_folder(tmp_path, samples=20)
    assert report.passed
    assert report.num_cases == 3
    assert [row.rule_id for row in report.rules] == ["ACME-01"]
    assert path.name == "ACME-01-several-tasks-in-full.toml"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = new_rule(tmp_path, "ACME-01", "Several tasks in full")
    path.write_text("mine")
    with pytest.raises(RuleError, match="exists"):
        new_rule(tmp_path, "ACME-01", "Several tasks in full")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(("rule_id", "words"), [("acme", "is not a rule id"), ("HYP-13", "replaces")])
def test_an_id_that_cannot_be_used(rule_id: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=words):
        new_rule(tmp_path, rule_id, "A title")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_case_is_reported(tmp_path: Path) -> None:
    path = new_rule(tmp_path, "ACME-01", "Several tasks in full")
    path.write_text(path.read_text().replace("task.count > 1", "task.count > 5"))
    report = check_folder(tmp_path, samples=5)
    assert not report.passed
    assert report.failed[0].case == "three tasks in full"
    assert "expected 'fires'" in report.failed[0].detail


def test_a_conflict_with_the_bundled_book_is_found(tmp_path: Path) -> None:
    path = new_rule(tmp_path, "ACME-01", "Several tasks in full", "set")
    path.write_text(path.read_text().replace('overrides = ["HYP-82"]', ""))
    report = check_folder(tmp_path, samples=300)
    assert not report.passed
    assert "ACME-01" in report.conflicts[0]
    assert "HYP-82" in report.conflicts[0]


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="holds no rules"):
        check_folder(tmp_path)


def test_rules_of_a_policy_are_judged_beside_the_bundled_ones(tmp_path: Path) -> None:
    new_rule(tmp_path, "ACME-01", "Several tasks in full", "veto")
    book = load_rule_book(tmp_path)
    traces = book.judge({"plan.method": "full", "task.count": 4}, effects=("veto",))
    fired = [trace for trace in traces if trace.outcome == "fires"]
    assert [(trace.rule_id, trace.message) for trace in fired] == [
        ("ACME-01", "4 tasks would each be trained in full.")
    ]


def test_rows_are_chosen_by_group_and_effect(book: RuleBook) -> None:
    assert {row.group for row in rule_rows(book, group="storage")} == {"storage"}
    assert {row.effect for row in rule_rows(book, effect="gate")} == {"gate"}
    assert len(rule_rows(book)) == len(book.rules)


def test_a_folder_of_the_bundled_book_is_not_laid_on_top_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BOOK.parent)
    for folder in (BOOK / "gate", Path("book/gate")):
        report = check_folder(folder, samples=1)
        assert report.passed
        assert {row.group for row in report.rules} == {"gate"}


def test_a_new_rule_of_the_bundled_book_has_no_bibliography_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "BOOK", tmp_path)
    path = new_rule(tmp_path / "data", "ACME-01", "Several tasks in full")
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(RuleError, match="no source is called 'house-policy'"):
        load_rule_book(path.parent)
