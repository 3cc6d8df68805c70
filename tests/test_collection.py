"""The same tests are collected wherever and whenever: xdist's workers compare their ids."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def collected(root: Path, home: Path, **environment: str) -> list[str]:
    """The ids that a fresh process collects in `root`; it starts in a later second than the one before."""
    home.mkdir()
    command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "LC_"))}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=root,
        env=kept | {"PYTHONPATH": str(root), "HOME": str(home), "SFT_ADVISOR_HOME": str(home)} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A copy of the tree, in a folder whose name holds a blank."""
    made_by_tools = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "mutants", "runs")
    return shutil.copytree(ROOT, tmp_path / "another folder", ignore=made_by_tools)


@pytest.mark.slow
def test_ids_depend_on_no_clock_hash_seed_locale_home_or_folder(
    request: pytest.FixtureRequest, elsewhere: Path, tmp_path: Path
) -> None:
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py")}
    here = [test.nodeid for test in request.session.items]
    if {line.partition("::")[0] for line in here} != files:  # a part of the suite runs
        here = collected(ROOT, tmp_path / "one", PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C.UTF-8")
    # An ASCII locale that Python does not put right by itself
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    there = collected(elsewhere, tmp_path / "two", PYTHONHASHSEED="2", TZ="Asia/Kathmandu", **ascii_only)
    assert {line.partition("::")[0] for line in here} == files
    here, there = sorted(here), sorted(there)  # the suite's own order is drawn
    assert here == there, "\n".join(difflib.unified_diff(here, there, lineterm="", n=0))
