"""The README says what is so: its blocks are fresh, its commands exist, its files are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.readme_blocks import BLOCKS, README, ROOT, rendered

TEXT = README.read_text()


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_block_stands_in_the_readme(name: str) -> None:
    assert f"<!-- begin {name} -->" in TEXT


def test_the_blocks_are_fresh() -> None:
    assert rendered(TEXT) == TEXT, "run: make docs"


def test_every_command_that_is_shown_exists() -> None:
    from advisor.cli import COMMANDS

    shown = set(re.findall(r"sft-advisor ([a-z]+)\b", TEXT))
    assert shown <= set(COMMANDS), shown - set(COMMANDS)


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = set(re.findall(r"`?make ([a-z]+)`", TEXT))
    assert shown
    assert shown <= targets, shown - targets


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", TEXT):
        assert (ROOT / target).exists(), target
