"""Colours follow the conventions of terminals: NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM, and none in a pipe."""

from __future__ import annotations

import pytest

from advisor.commands.output import follow_clicolor

ESTIMATE = ("estimate", "--model", "Qwen3-8B", "--hardware", "RTX 4090", "--method", "lora")
COLOUR = "\x1b[3"
"""How each of the eight colours begins."""


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ({"CLICOLOR": "0"}, "NO_COLOR", "1"),
        ({"CLICOLOR": "1"}, "NO_COLOR", None),
        ({"CLICOLOR_FORCE": "1"}, "FORCE_COLOR", "1"),
        ({"CLICOLOR_FORCE": "0"}, "FORCE_COLOR", None),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, "NO_COLOR", None),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, "FORCE_COLOR", None),
    ],
)
def test_what_clicolor_asks_for(asked: dict[str, str], name: str, value: str | None) -> None:
    follow_clicolor(asked)
    assert asked.get(name) == value


@pytest.mark.parametrize(
    ("asked", "has_escapes", "has_colours"),
    [
        ({}, False, False),
        ({"CLICOLOR_FORCE": "1", "TERM": "xterm"}, True, True),
        ({"CLICOLOR_FORCE": "1", "CLICOLOR": "0", "TERM": "xterm"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"CLICOLOR": "0"}, False, False),
    ],
)
def test_what_is_printed_then(
    run, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], has_escapes: bool, has_colours: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, asked.get(name, ""))
    monkeypatch.setenv("TERM", asked.get("TERM", "dumb"))
    out = run(*ESTIMATE)[1]
    assert ("\x1b[" in out, COLOUR in out) == (has_escapes, has_colours)


@pytest.mark.parametrize("columns", [40, 80, 140, 200])
def test_no_line_is_wider_than_the_terminal_or_than_140(run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in (ESTIMATE, ("rules", "list")):
        assert max(map(len, run(*words)[1].splitlines())) <= min(columns, 140)
