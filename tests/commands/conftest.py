"""A command run as a user runs it, without the cost of a process."""

from __future__ import annotations

import pytest

from advisor.commands.cli import main


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run a command in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call
