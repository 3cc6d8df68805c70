"""The built wheel is whole: installed into an empty venv and used from another folder, without torch.

`make release` names the wheel that it has built in WHEEL; otherwise the test builds one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from advisor import __version__

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["SFT_ADVISOR_HOME"] = str(cwd / "home")
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def built_wheel(folder: Path) -> Path:
    if released := os.environ.get("WHEEL"):
        return (ROOT / released).resolve(strict=True)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_advises_and_explains_from_another_folder(tmp_path: Path) -> None:
    wheel = built_wheel(tmp_path)
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)

    command = [binaries / "sft-advisor", "--non-interactive", "--hardware", "RTX 4090", "--model", "Llama-3.1-8B"]
    answer = json.loads(run(*command, "--data-examples", "5000", cwd=tmp_path))
    assert answer["method"] == "lora"
    assert "NF4" in run(binaries / "sft-advisor", "explain", "qlora", cwd=tmp_path)
    listed = run(binaries / "sft-advisor", "rules", "list", cwd=tmp_path)
    assert "HW-09" in listed
    installed = run(binaries / "pip", "list", "--format", "json", cwd=tmp_path)
    versions = {package["name"].lower(): package["version"] for package in json.loads(installed)}
    assert versions["sft-advisor"] == __version__
    names = set(versions)
    assert not names & {"torch", "transformers", "numpy", "pandas"}
    packages = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    assert all((packages / name / "py.typed").is_file() for name in ("advisor", "rules", "trainers"))
    assert (packages / "trainers" / "export" / "constraints.txt").is_file(), "jobs take the tested versions along"
