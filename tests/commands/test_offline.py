"""Commands on local files reach for no network: in every process each socket that leaves it raises.

A whole job is tried so in `test_poisoned_folder.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_data import chatterbot_messages

ROOT = Path(__file__).resolve().parents[2]
NO_NETWORK = """
import os, socket, sys

def _refuse(address):
    with open(os.environ["REACHED"], "a") as file:
        file.write(f"{sys.argv[:2]} {address}\\n")
    raise OSError(101, "no network in this test")

class _Socket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            _refuse(address)
        super().connect(address)

    def connect_ex(self, address):
        if self.family != socket.AF_UNIX:
            _refuse(address)
        return super().connect_ex(address)

    def sendto(self, *given):
        _refuse(given[-1])

socket.socket = _Socket
socket.getaddrinfo = lambda host, *rest, **more: _refuse(host)
"""


def without_switches() -> dict[str, str]:
    """The environment with nothing in it that would forbid the network."""
    switches = ("HF_", "TRANSFORMERS_", "DO_NOT_", "WANDB_")
    return {name: value for name, value in os.environ.items() if not name.startswith(switches)}


@pytest.fixture
def offline(tmp_path: Path) -> Path:
    """A folder with a model and data, in which no Python that is started has a network."""
    from tests.trainers.conftest import build_tiny_model

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    build_tiny_model(tmp_path / "model")
    chatterbot_messages(tmp_path / "chats.jsonl", limit=60)
    return tmp_path


def run(folder: Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """One command without any switch that would forbid the network; nothing was reached."""
    path = os.pathsep.join([str(ROOT), str(folder / "site")])
    own = {"PYTHONPATH": path, "SFT_ADVISOR_HOME": str(folder / "home"), "REACHED": str(folder / "reached")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "advisor", *arguments],
        cwd=folder,
        env={**without_switches(), **own, "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    reached = folder / "reached"
    assert not reached.exists(), reached.read_text()
    assert done.returncode in codes, done.stderr
    return done.stdout


MODEL = ("--model", "model", "--dataset", "chats.jsonl", "--hardware", "cpu")
SHORT = ("--max-steps", "2", "--lora-rank", "4", "--micro-batch-size", "2")


def test_the_test_sees_a_packet(offline: Path) -> None:
    with pytest.raises(AssertionError, match="huggingface"):
        run(offline, "--non-interactive", "--model", "org/model-of-the-hub", "--hardware", "cpu")


def test_advice_and_check_reach_for_nothing(offline: Path) -> None:
    run(offline, "data", "check", "chats.jsonl", "--model", "model")
    run(offline, "--non-interactive", *MODEL, codes=(0, 4))  # 4: too little data to train on
    run(offline, "estimate", "--help")


def test_a_dry_run_says_what_a_run_may_reach(offline: Path) -> None:
    said = run(offline, "train", "lora", *MODEL, *SHORT, "--dry-run")
    assert "# network: none: model and data are read from this disk, and nothing is sent" in said
    assert "HF_HUB_OFFLINE=1" in said
    assert "HF_HUB_DISABLE_TELEMETRY=1" in said
