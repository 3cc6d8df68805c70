"""The README and the guide say what is so: blocks are fresh, commands exist, files are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.readme_blocks import BLOCKS, PAGES, README, ROOT, rendered

TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
TEXT = "\n".join(TEXTS.values())


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_block_stands_in_one_of_the_pages(name: str) -> None:
    assert f"<!-- begin {name} -->" in TEXT


def test_the_blocks_are_fresh() -> None:
    for page, text in TEXTS.items():
        assert rendered(text) == text, f"{page.name} is stale; run: make docs"


def test_the_readme_is_short() -> None:
    assert TEXTS[README].count("\n") <= 150


def test_every_command_that_is_shown_exists() -> None:
    from advisor.commands import COMMANDS, OLD_NAMES

    shown = set(re.findall(r"sft-advisor ([a-z]+)\b", TEXT))
    assert shown <= {*COMMANDS, *OLD_NAMES}, shown - {*COMMANDS, *OLD_NAMES}


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = set(re.findall(r"`?make ([a-z]+)`", TEXT))
    assert shown
    assert shown <= targets, shown - targets


def test_every_linked_file_exists() -> None:
    for page, text in TEXTS.items():
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
