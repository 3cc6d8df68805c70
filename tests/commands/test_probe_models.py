"""sft-advisor probe models: the catalogue on the screen and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_NOTHING_FITS, EXIT_OK
from advisor.commands.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command: (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capfd.readouterr()

    return call


def test_the_command_lists_as_text_and_as_json(run: Run) -> None:
    code, out, _ = run("probe", "models", "--family", "Qwen3-Next")
    assert (code, "Qwen/Qwen3-Next-80B-A3B-Instruct" in out, "3.87B active" in out) == (EXIT_OK, True, True)
    code, out, _ = run("probe", "models", "--family", "smollm2", "--fits", "RTX 4060", "--json")
    assert code == EXIT_OK
    assert {row["family"] for row in json.loads(out)} == {"SmolLM2"}


def test_a_machine_without_room_ends_with_nothing_fits(run: Run) -> None:
    assert run("probe", "models", "--family", "Kimi", "--fits", "RTX 4060")[0] == EXIT_NOTHING_FITS


def test_flags_that_choose_models_are_refused_for_a_machine(run: Run) -> None:
    code, _, error = run("probe", "--family", "Qwen3")
    assert code == EXIT_BAD_INPUT
    assert "sft-advisor probe models" in error
