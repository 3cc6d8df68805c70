"""The door: help, version, the exit code of each end, and what it does without a terminal, torch or a reader."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from advisor import __version__
from advisor.commands import COMMANDS, OLD_NAMES, SHELLS, UNDER
from advisor.commands.cli import main
from tests.commands.calling import ASK, ROOT, started
from tests.waiting import PATIENCE_SECONDS


def test_a_bug_is_reported_without_a_traceback(run, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("advisor.commands.schema.json_schema", broken)
    code, out, err = run("rules", "schema", "plan")
    assert (code, out) == (1, "")
    assert "this is a bug of sft-advisor: RuntimeError: first line in " in err
    assert "sft-advisor rules schema plan --debug" in err
    with pytest.raises(RuntimeError):
        main(["rules", "schema", "plan", "--debug"])


def test_a_missing_package_names_the_install_line(run, monkeypatch):
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch.nn")

    monkeypatch.setattr("advisor.commands.schema.json_schema", missing)
    code, _, err = run("rules", "schema", "plan")
    assert code == 5
    assert "the package 'torch' is not installed" in err
    assert 'pip install "sft-advisor[train]"' in err


def test_interruption_has_its_own_exit_code(run, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("advisor.commands.schema.json_schema", interrupted)
    assert run("rules", "schema", "plan")[0] == 130


def test_at_most_sixteen_commands_stand_at_the_top():
    assert len(COMMANDS) <= 16
    assert all(words.split()[0] in COMMANDS for words in UNDER)


@pytest.mark.parametrize("command", ["", *COMMANDS, *UNDER])
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    shown = capsys.readouterr()
    assert (left.value.code, shown.err) == (0, "")
    assert shown.out.startswith("usage: sft-advisor")


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_works_and_says_the_new_one(capsys, old, new):
    with pytest.raises(SystemExit) as left:
        main([old, "--help"])
    shown = capsys.readouterr()
    assert left.value.code == 0
    assert shown.out.startswith(f"usage: sft-advisor {new} ")
    assert shown.err.startswith(f"note: `sft-advisor {old}` is now called `sft-advisor {new}`;")
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize(("asked", "shown"), [(["help"], "commands (each has --help)"), (["help", "export"], "--to")])
def test_help_by_its_name(capsys, asked, shown):
    with pytest.raises(SystemExit) as left:
        main(asked)
    assert left.value.code == 0
    assert shown in capsys.readouterr().out


def test_the_version(run):
    code, out, err = run("--version")
    assert (code, out.splitlines()[0], err) == (0, f"sft-advisor {__version__}", "")
    named = [line.rpartition(" ")[0] for line in out.splitlines()[1:]]
    assert {"python", "nvidia driver", "torch", "transformers", "trl", "peft"} <= {*named, "python"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_knows_commands_flags_and_values(run, shell):
    code, out, _ = run("--completion", shell)
    assert code == 0
    for word in (*COMMANDS, "preflight", "lora-rank", "long_cot"):
        assert word in out


@pytest.mark.parametrize("asked", [["--version"], ["-V"], ["-v"], ["version"]])
def test_the_version_by_any_of_its_names(run, asked):
    code, out, _ = run(*asked)
    assert (code, out.split()[0]) == (0, "sft-advisor")


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "advisor", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sft-advisor ")


def test_the_wizard_without_a_terminal_says_what_to_do():
    found = started(stdin=subprocess.DEVNULL)
    assert found.returncode == 2
    assert "the wizard needs a terminal" in found.stderr
    assert "--non-interactive" in found.stderr


def test_a_reader_that_leaves_is_no_error():
    first_line = (
        f"{shlex.quote(sys.executable)} -m advisor rules schema recommendation | head -1; echo ${{PIPESTATUS[0]}}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        ["bash", "-c", first_line],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert found.stdout.splitlines() == ["{", "0"]
    assert found.stderr == ""


def test_text_that_the_terminal_cannot_show_is_no_error():
    found = started("explain", "flow", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert found.returncode == 0
    assert found.stderr == ""


def test_advice_needs_no_torch_and_no_terminal_library(tmp_path):
    """Blocked at import: whatever reaches for one of them fails."""
    blocker = tmp_path / "sitecustomize.py"
    heavy = [
        "torch",
        "transformers",
        "peft",
        "datasets",
        "numpy",
        "pandas",
        "rich",
        "questionary",
        "polars",
        "jinja2",
    ]
    blocker.write_text(f"import sys\nfor name in {heavy}: sys.modules[name] = None\n")
    found = started(*ASK, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "SFT_ADVISOR_HOME": str(tmp_path)})
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["verdict"] == "recommended"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output_is_named(unbuffered):
    line = f"{shlex.quote(sys.executable)} -m advisor --help > /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith("error: cannot write to the standard output: No space left")
    assert "Exception ignored" not in done.stderr


def test_output_that_nobody_takes_is_no_bug():
    for closed in (">&-", "2>&-"):
        line = f"{sys.executable} -m advisor --json --model Qwen3-8B --hardware cpu --data-examples 500 {closed}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, "")
