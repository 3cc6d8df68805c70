"""The picture of the wizard in the README: a real terminal, typed into, photographed (needs tmux).

python -m tests.golden.picture        writes tests/golden/wizard.svg
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from advisor.commands.wizard.form import Next

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path(__file__).with_name("wizard.svg")
COLUMNS, SOCKET = 100, "sft-advisor-picture"
TYPED = (
    ("Base model", "Qwen3-8B", "Enter"),
    ("Dataset", "Enter"),
    ("Hardware", "RTX 4090", "Enter"),
)
"""What is waited for, and the keys that answer it."""
PATIENCE_SECONDS = 60


def main() -> None:
    """Hold the conversation and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SFT_ADVISOR_HOME": folder,
            "TERM": "screen-256color",
            "COLORTERM": "truecolor",
        }
        environment.pop("NO_COLOR", None)
        wizard = f"{sys.executable} -m advisor; sleep 60"
        size = ["-x", str(COLUMNS), "-y", "100"]
        _tmux("new-session", "-d", "-s", "wizard", *size, "-c", folder, wizard, environment=environment)
        try:
            for question, *keys in TYPED:
                _wait_for(question)
                _tmux("send-keys", "-t", "wizard", *keys)
                time.sleep(0.4)
            _wait_for(Next.QUIT.value)
            screen = _tmux("capture-pane", "-p", "-e", "-t", "wizard")
        finally:
            _tmux("kill-server")
    PICTURE.write_text(_as_svg(screen.rstrip() + "\n"), encoding="utf-8")


def _as_svg(screen: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(screen), end="")
    # without the fonts that rich would fetch from the network
    plain = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="sft-advisor", code_format=plain, unique_id="wizard")


def _wait_for(text: str) -> None:
    """Until the last lines of the screen show it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        lines = _tmux("capture-pane", "-p", "-t", "wizard").rstrip().splitlines()
        if any(text in line for line in lines[-14:]):
            return
        time.sleep(0.2)
    raise TimeoutError(f"the wizard did not ask {text!r}")


def _tmux(*arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["tmux", "-L", SOCKET, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout


if __name__ == "__main__":
    main()
