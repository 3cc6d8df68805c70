"""An answer comes whatever became of the folder that this tool keeps its own files in, and whoever asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.commands.cli import main

ROOT = Path(__file__).resolve().parents[2]
ANSWER = ("--non-interactive", "--hardware", "RTX 4090", "--model", "Llama-3.1-8B", "--data-examples", "500")
FOREIGN_UID = 65534


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def answer(home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said where everything is in order."""
    assert main(ANSWER) == 0
    shutil.rmtree(home)
    return capsys.readouterr().out


def test_a_home_that_is_a_file(home: Path, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    home.write_text("", encoding="utf-8")
    assert main(ANSWER) == 0
    said = capsys.readouterr()
    assert said.out == answer
    assert "the answer is not kept" in said.err


def test_a_home_that_leads_nowhere(home: Path, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    home.symlink_to(home.parent / "gone" / "away")
    assert main(ANSWER) == 0
    assert capsys.readouterr().out == answer


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk(home: Path, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    for name in ("last.json", "ledger.jsonl", "rules.lock"):
        (home / name).symlink_to("/dev/full")
    assert main(ANSWER) == 0
    assert capsys.readouterr().out == answer


def test_no_home_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    for name in ("SFT_ADVISOR_HOME", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        command(), env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, answer), done.stderr


@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["open to readers", "closed"])
def test_a_home_of_another_user(home: Path, answer: str, mode: int) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can give a folder away, and setpriv takes its powers over it")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command(), env=environment, capture_output=True, check=True)
    before = {file.name: file.read_bytes() for file in home.iterdir()}
    for path in (*home.iterdir(), home):
        os.chown(path, FOREIGN_UID, FOREIGN_UID)
    home.chmod(mode)
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown", *command()]
    done = subprocess.run(powerless, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, answer), done.stderr
    assert "the answer is not kept" in done.stderr
    assert {file.name: file.read_bytes() for file in home.iterdir()} == before


@pytest.mark.parametrize("seconds", [0, 2**31 + 5], ids=["long ago", "in the future"])
def test_a_clock_that_is_wrong(home: Path, answer: str, seconds: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are older or newer than they can be: shared homes, machines without a battery."""
    assert main(ANSWER) == 0
    for file in home.iterdir():
        os.utime(file, (seconds, seconds))
    capsys.readouterr()
    assert main(ANSWER) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (answer, "")
    assert main(["explain", "last"]) == 0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "advisor", *(arguments or ANSWER)]
