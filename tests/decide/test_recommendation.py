"""Nothing of the answer is left to its default."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from advisor.decide.recommendation import Recommendation
from tests.decide.conftest import Advise


def test_advise_fills_every_part(recommend: Advise, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def note(**values: Any) -> Recommendation:
        judged.append(values)
        missing = set(Recommendation.__struct_fields__) - set(values) - {"schema"}
        assert not missing, f"advise() in advisor/decide/advise.py does not fill {', '.join(sorted(missing))}"
        return Recommendation(**values)

    monkeypatch.setattr(importlib.import_module("advisor.decide.advise"), "Recommendation", note)
    recommend("RTX 4090", "Qwen3-8B")
    assert judged
