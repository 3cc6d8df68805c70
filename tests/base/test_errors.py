"""Suggestions: a slip of the fingers is mended, letters in common alone are no suggestion."""

from __future__ import annotations

import pytest

from advisor.base.errors import nearest


@pytest.mark.parametrize(
    ("typed", "allowed", "meant"),
    [
        ("duplicate", ["duplicates", "near-duplicates"], "duplicates"),
        ("Iteraton", ["quality", "iteration", "cost"], "iteration"),
        ("retention_critical", ["task.retention_critical", "task.count"], "task.retention_critical"),
        ("dupes", ["duplicates", "near-duplicates"], "duplicates"),
        ("nonsense", ["none-answers", "refusals"], None),
        ("x", ["cost"], None),
        ("anything", [], None),
    ],
)
def test_only_what_could_be_meant_is_suggested(typed, allowed, meant):
    assert nearest(typed, allowed) == meant
