"""loss.png is drawn by the settings of matplotlib, not by what lies in the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "foreign", [b"text.usetex: True\nbackend: module://evil\n", b"\xff\xfe\x00"], ids=["settings", "no text"]
)
def test_a_matplotlibrc_of_the_current_folder_is_not_read(tmp_path: Path, foreign: bytes) -> None:
    (tmp_path / "matplotlibrc").write_bytes(foreign)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    program = "from pathlib import Path; from trainers.handover.plots import loss_png; print(loss_png(Path('run')))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
