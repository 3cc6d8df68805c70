"""No child imports from the folder that the user stands in, whatever lies there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainers.plans import lora_plan
from trainers.export import TARGETS, export
from trainers.python import child_environment, code_command, module_command

ROOT = Path(__file__).parents[2]
EVERYDAY_NAMES = (
    "torch",
    "random",
    "datasets",
    "evaluate",
    "tokenizers",
    "trainers",
    "transformers",
    "json",
    "advisor",
)


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A folder in which importing any of the everyday names leaves a mark."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in EVERYDAY_NAMES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        )
    return folder


def run_in(folder: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    environment = child_environment({**os.environ, "PYTHONPATH": f"{os.pathsep}{ROOT}"})
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_module_is_found_in_the_project_and_nothing_beside_the_user(poisoned: Path) -> None:
    done = run_in(poisoned, module_command("trainers.handover.deliver", "--help"))
    assert done.returncode == 0, done.stderr
    assert not (poisoned.parent / "ran").exists()


def test_what_a_child_starts_in_turn_is_safe_too(poisoned: Path) -> None:
    inner = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'import random'], check=True)"
    assert run_in(poisoned, code_command(inner)).returncode == 0
    assert not (poisoned.parent / "ran").exists()


def test_an_empty_entry_of_pythonpath_is_dropped() -> None:
    path = child_environment({"PYTHONPATH": f"{os.pathsep}/a{os.pathsep}{os.pathsep}"})["PYTHONPATH"]
    assert path == os.pathsep.join([str(ROOT), "/a"])


@pytest.mark.parametrize("target", ["slurm", "skypilot", "kubernetes"])
def test_commands_written_for_clusters_are_safe_too(target: str) -> None:
    files = export(lora_plan(), target).files
    text = "".join(files.values())
    assert "PYTHONSAFEPATH" in text
    assert target in TARGETS
    assert " -P -m trainers" in text


def test_every_child_is_started_through_this_module() -> None:
    # llama.cpp's converter is a script, not a module; a notebook starts the pip of its own kernel
    own = {"trainers/python.py", "trainers/handover/to_gguf.py", "trainers/export/notebook.py"}
    found = [
        str(file.relative_to(ROOT))
        for folder in ("advisor", "rules", "trainers")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "sys.executable" in file.read_text(encoding="utf-8")
    ]
    assert set(found) <= own
