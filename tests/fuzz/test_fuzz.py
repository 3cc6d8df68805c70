"""Every failure that a changed input once caused, and a few new changes through every door.

In a process of their own: a case is a fork, and a fork of a process whose libraries already run threads may hang.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.doors import DOORS, kept

HERE = Path(__file__).parents[2]
KEPT = HERE / "tests" / "fixtures" / "fuzz"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits on a case are Linux's")


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *map(str, arguments)]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    """What each kept input does now: None where it ends in an answer."""
    done = fuzz("--retry", KEPT)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [file.name for _, file in kept(KEPT)])
def test_a_kept_failure_is_one_no_more(now: dict[str, Any], name: str) -> None:
    assert now[name] is None


def test_no_door_leads_nowhere() -> None:
    done = fuzz("--sound")
    assert json.loads(done.stdout) == {}, done.stderr


@pytest.mark.slow
def test_changed_inputs_end_in_an_answer(tmp_path: Path) -> None:
    done = fuzz("--cases", 6 * len(DOORS), "--seed", 1, "--keep", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
