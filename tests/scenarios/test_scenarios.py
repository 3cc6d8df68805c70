"""Every scenario file, put to the whole advisor: an expert's answer against ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.decide.scenarios import run_scenario
from rules.engine import RuleBook, load_rule_book
from rules.scenario import load_scenario

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return load_rule_book()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_advice_is_what_an_expert_would_give(path: Path, book: RuleBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert run_scenario(load_scenario(path), book) == ()
