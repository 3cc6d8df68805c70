"""Plain text in which each line says who speaks: `Agent: How can I help?`, `<ann> hi` of IRC, subtitles with names.

    list(conversations(lines))      # [{"messages": [{"role": "Agent", "content": "How can I help?"}, ...]}, ...]

A blank line ends a conversation once two have spoken in it. Turns bear the names; whose words are learnt the user
says (`--map assistant=NAME`) where a name is not a role itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from trainers.examples.speakers import role_of
from trainers.language import later

Row = dict[str, Any]
NOTE = later("each line says who speaks: what stands between blank lines is one conversation")
_IRC = re.compile(r"^\[?\d{1,2}:\d{2}(?::\d{2})?\]?\s*<[@+~&% ]?(?P<who>[^>\s]{1,30})>\s(?P<what>.*)")
_CUE = re.compile(r"^(?:<v(?:\.\w+)? (?P<who>[^>]{1,40})>)(?P<what>.*?)(?:</v>)?$")
_SPOKEN = re.compile(r"^\W{0,2}(?P<who>[^\W\d_][\w .'’-]{0,29})\W{0,2}[:：]\s*(?P<what>\S.*)")
_PATTERNS = (_IRC, _CUE, _SPOKEN)
_TIMES = re.compile(r"^(?:\d+:)?\d{1,2}:\d{2}[.,]\d{3} --> ")
_OF_A_FILE = re.compile(r"^(?:WEBVTT\b|NOTE\b|STYLE\b|Kind:|Language:)|^\d+$")
"""Lines of subtitles that nobody says."""
_ROLES = frozenset({"user", "assistant", "system"})
_MANY_LINES, _SHARE, _MOST_SPEAKERS = 6, 0.5, 12


def is_script(head: str) -> bool:
    """Whether most lines of the beginning of a text say who speaks, and at least two speak twice.

    Records (`Name: Ann`, `Age: 30`, a blank line, and again) are none: no name comes twice between blank lines,
    unless all of them are roles, as in questions and answers.
    """
    blocks: list[Counter[str]] = [Counter()]
    lines = 0
    for line in _said_lines(head.splitlines()[:-1] or [head]):
        lines += bool(line.strip())
        if not line.strip():
            blocks.append(Counter())
        elif found := _told(line):
            blocks[-1][_name(found["who"])] += 1
    counts = sum(blocks, Counter[str]())
    is_mostly = counts.total() >= max(_MANY_LINES, _SHARE * lines)
    takes_turns = any(times > 1 for block in blocks for times in block.values()) or counts.keys() <= _ROLES
    again = sum(times > 1 for times in counts.values())
    return is_mostly and takes_turns and 1 < again <= len(counts) <= _MOST_SPEAKERS


def conversations(lines: Iterable[str]) -> Iterator[Row]:
    """The conversations of a script, each as a row of messages; a line without a name goes on with the one before."""
    turns: list[Row] = []
    for line in _said_lines(lines):
        if not line.strip():
            if len({turn["role"] for turn in turns}) > 1:
                yield {"messages": turns}
                turns = []
            continue
        one = _told(line)
        who, what = (_name(one["who"]), one["what"].strip()) if one else ("", line.strip())
        if turns and who in ("", turns[-1]["role"]):
            turns[-1]["content"] += f"\n{what}"
        elif who:
            turns.append({"role": who, "content": what})
    if len({turn["role"] for turn in turns}) > 1:
        yield {"messages": turns}


def without_times(lines: Iterable[str]) -> Iterator[str]:
    """Subtitles as text: what is said, a line each."""
    return (f"{line}\n" for line in _said_lines(lines) if line.strip())


def _said_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines without the numbers and times of subtitles, whose blank lines part nothing."""
    is_subtitles = False
    for line in lines:
        line = line.rstrip("\r\n").removeprefix("\ufeff")
        is_subtitles = is_subtitles or line.startswith("WEBVTT") or bool(_TIMES.match(line))
        if is_subtitles and (not line.strip() or _OF_A_FILE.match(line) or _TIMES.match(line)):
            continue
        if not (line.strip().isdecimal() and not is_subtitles):
            yield line


def _told(line: str) -> re.Match[str] | None:
    return next((found for pattern in _PATTERNS if (found := pattern.match(line))), None)


def _name(said: str) -> str:
    """The role that a name stands for (`Customer`, `Q`), else the name."""
    return role_of(said.strip()) or said.strip()
