"""The wizard in a real (pseudo) terminal: it starts, answers keys, and Ctrl-C keeps what was said."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]


class Terminal:
    """A child process on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "advisor", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment | {"SFT_ADVISOR_HOME": str(folder / "home")},
        )
        os.close(slave)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        code = self.child.wait(timeout=PATIENCE_SECONDS)
        os.close(self.master)
        return code


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(tmp_path):
    terminal = Terminal(tmp_path, "--hardware", "RTX 4090")
    terminal.wait_for("Base model")
    terminal.type("Qwen3-8B\r")
    terminal.wait_for("8.19B parameters")
    terminal.wait_for("Dataset")
    terminal.type("\x03")
    terminal.wait_for("sft-advisor --answers sft-advisor-answers.toml")
    assert terminal.end() == 130
    kept = tomllib.loads((tmp_path / "sft-advisor-answers.toml").read_text())
    assert (kept["model"], kept["hardware"]) == ("Qwen3-8B", "RTX 4090")


@pytest.mark.slow
def test_from_the_first_question_to_quit(tmp_path):
    terminal = Terminal(tmp_path, "--hardware", "RTX 4090", "--model", "Qwen3-8B")
    terminal.wait_for("Dataset")
    terminal.type("\r")
    terminal.wait_for("What next?")
    terminal.wait_for("quit")
    terminal.type("\x1b[A\r")  # up from the first entry is the last one
    assert terminal.end() == 0
    assert "Fine-tune Qwen3-8B with" in terminal.seen
