"""Everything that an example trains on, as one text in which a pattern can tell who speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trainers.examples.example import Example

if TYPE_CHECKING:
    import polars

TURN, SAID, MORE = "\x1e", "\x1f", "\x1d"
"""Before each turn (then the first letter of its role), before its words, before what else it holds."""
PLAIN, BESIDE = "p", "d"
"""In the place of a role: plain text without turns, and what stands beside the turns (tools, images)."""
ANSWER = f"{TURN}a{SAID}"
_NOT_LEARNT = frozenset({"role", "content", "id", "tool_call_id"})


def marked(example: Example) -> str:
    """Equal for two examples that train the same; ids of calls, which no one learns, are left out."""
    if not example.messages:
        return f"{TURN}{PLAIN}{SAID}{example.text}"
    turns = "".join(
        [
            f"{_OPENINGS[message['role']]}{message['content']}"
            if len(message) == 2
            else f"{_OPENINGS[message['role']]}{message['content']}{_more(message)}"
            for message in example.messages
        ]
    )
    if not (example.tools or example.unlearnt or example.images):
        return turns
    beside = [one for one in (example.tools, sorted(example.unlearnt), example.images) if one]
    return f"{TURN}{BESIDE}{SAID}{_json(beside)}{turns}"


def as_series(texts: Sequence[str]) -> polars.Series:
    """The texts for polars; halves of characters, which UTF-8 cannot write, become question marks."""
    import polars

    try:
        return polars.Series(texts, dtype=polars.String)
    except UnicodeEncodeError:
        return polars.Series([text.encode("utf-8", "replace").decode() for text in texts], dtype=polars.String)


def role_at(text: str, place: int) -> str:
    """The first letter of the role that speaks at this place of a marked text."""
    start = text.rfind(TURN, 0, place + 1)
    return text[start + 1 : start + 2]


_OPENINGS = {role: f"{TURN}{role[0]}{SAID}" for role in ("system", "user", "assistant", "tool")}


def _more(message: dict[str, Any]) -> str:
    held = {key: _without_ids(value) for key, value in message.items() if key not in _NOT_LEARNT and value}
    return MORE + _json(held) if held else ""


def _without_ids(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_ids(one) for one in value]
    if isinstance(value, dict):
        return {key: one for key, one in value.items() if key not in _NOT_LEARNT or key == "content"}
    return value


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except (TypeError, UnicodeEncodeError, RecursionError):  # halves of characters, or what JSON cannot write
        return repr(value)
