"""`sft-advisor mcp` where no agent has started it."""

from __future__ import annotations

import pytest


def test_on_a_terminal_it_says_who_starts_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, out, err = run("mcp")
    assert (code, out) == (2, "")
    assert "a coding agent starts this" in err and "sft-advisor mcp --list" in err


def test_the_tools_can_be_printed(run) -> None:
    code, out, _ = run("mcp", "--list", "--write")
    assert code == 0 and '"save_plan"' in out
