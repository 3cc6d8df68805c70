"""The pages for contributors name only files, folders and make targets that exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.manpage import ABOUT, page
from tests.docs.places import ROOT

PAGES = sorted([ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("CONTRIBUTING.md")])
PATH = re.compile(r"`((?:advisor|rules|trainers|tests|docs|\.github|\.ci)/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page) -> None:
    named = PATH.findall(page.read_text()) + re.findall(r"\]\(([\w./]+)\)", page.read_text())
    named = [name for name in named if "NAME" not in name and "CODE" not in name]
    missing = [name for name in named if not ((ROOT / name).exists() or (page.parent / name).exists())]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_is_there(page) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z]+)", page.read_text())) <= targets


def test_the_man_page_can_be_found_by_what_it_is_about() -> None:
    name = page().partition(".SH NAME\n")[2].partition("\n.SH ")[0]
    assert name == f"sft\\-advisor \\- {ABOUT}"
