"""What several tests of the front share."""

from __future__ import annotations

import pytest

from advisor.answers import Layer
from advisor.commands.measure import gather, recommend
from advisor.recommendation import Recommendation

FLAGS = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.examples": "5000", "data.completion_tokens": "2M"}


@pytest.fixture(autouse=True)
def _home(tmp_path_factory, monkeypatch):
    """Nothing of a test is kept among the user's files."""
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def real_recommendation() -> Recommendation:
    """What the real advisor says to FLAGS."""
    from rules.engine import load_rule_book

    return recommend(gather([Layer("flag", FLAGS)]), load_rule_book(), search_changes=False)
