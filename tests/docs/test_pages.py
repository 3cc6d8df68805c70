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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_stands_in_the_file_where_a_page_says_it_does(page) -> None:
    places = re.findall(r"`(\w+)(?:\(\))?` (?:of|in) `([\w/.]+\.\w+)`", page.read_text())
    gone = [place for place in places if not re.search(rf"\b{place[0]}\b", (ROOT / place[1]).read_text("utf-8"))]
    assert not gone, f"{page.name} looks for names in files that do not hold them: {gone}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_runs_is_there(page) -> None:
    modules = {name.replace(".", "/") for name in re.findall(r"python -m ((?:tests|rules)[\w.]+)", page.read_text())}
    tests = {word for line in re.findall(r"pytest ([^`]+)`", page.read_text()) for word in line.split()}
    missing = [name for name in modules if not ((ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file())]
    missing += [word for word in tests if word.startswith("tests/") and not (ROOT / word).exists()]
    assert not missing, f"{page.name} runs what is not there: {sorted(missing)}"


def test_the_man_page_can_be_found_by_what_it_is_about() -> None:
    name = page().partition(".SH NAME\n")[2].partition("\n.SH ")[0]
    assert name == f"sft\\-advisor \\- {ABOUT}"
