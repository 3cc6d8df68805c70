"""The table of constants is what the code holds, and every profile says what it is."""

from __future__ import annotations

import msgspec

from advisor.estimate import stacks
from advisor.estimate.constants import CONSTANTS
from advisor.estimate.table import README, constants_table, renewed


def test_the_table_is_fresh():
    text = README.read_text(encoding="utf-8")
    assert constants_table() in text, "run: python -m advisor.estimate.table"
    assert renewed(text) == text


def test_every_constant_has_a_meaning_and_a_source():
    names = [one.name for one in CONSTANTS]
    assert len(names) == len(set(names))
    assert all(one.meaning and one.source and one.unit for one in CONSTANTS)


def test_profiles_are_distinct_and_described():
    assert len(stacks.BY_NAME) == len(stacks.PROFILES)
    assert all(stack.title for stack in stacks.PROFILES)
    bare = [msgspec.structs.replace(stack, name="", title="", note="") for stack in stacks.PROFILES]
    assert stacks.OURS in stacks.PROFILES
    assert len({repr(stack) for stack in bare}) >= len(bare) - 2
