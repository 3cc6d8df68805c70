"""Exports of chats between people (Discord, Slack, Telegram, Messenger, WhatsApp, SillyTavern) as conversations.

    rows = talks(told)      # told: (who, what, when in seconds), in order

A talk ends where nobody speaks for an hour; what one person says in a row is one turn. Turns bear the names of those
who speak: whose words are learnt the user says (`--map assistant=NAME`), unless a bot takes part.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from trainers.language import later

Row = dict[str, Any]
PAUSE_SECONDS = 3600.0
NOTE = later("a chat of people: what is said within an hour of the last words is one conversation")
_LINE = re.compile(
    r"^\W*(?P<day>\d{1,4}[./-]\d{1,2}[./-]\d{2,4}),? (?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2})?"
    r"(?:\W?(?P<half>[AP])\.?M\.?)?\]?(?: -)? (?P<who>[^:\n]{1,40}): (?P<what>.*)",
    re.IGNORECASE,
)
_NOT_SAID = re.compile(
    r"^\W*(?:<Media omitted>|<attached: .*>|\w+ omitted|This message was deleted\.?)\W*$", re.IGNORECASE
)
_MANY_LINES = 5
BOT = "assistant"
"""Where a bot takes part, its words are the answers."""


class Told(NamedTuple):
    """What one person says at one time."""

    who: str
    what: str
    seconds: float


def talks(told: Iterable[Told]) -> Iterator[Row]:
    """The conversations of at least two people, each as a row of messages."""
    turns: list[Row] = []
    last = 0.0
    for one in told:
        if turns and abs(one.seconds - last) > PAUSE_SECONDS:
            yield from _talk(turns)
            turns = []
        last = one.seconds
        if turns and turns[-1]["role"] == one.who:
            turns[-1]["content"] += f"\n{one.what}"
        else:
            turns.append({"role": one.who, "content": one.what})
    yield from _talk(turns)


def _talk(turns: list[Row]) -> Iterator[Row]:
    names = {turn["role"] for turn in turns}
    if len(names) > 1 and BOT in names:
        turns = [turn if turn["role"] == BOT else {**turn, "role": "user"} for turn in turns]
    if len(names) > 1:
        yield {"messages": turns}


def rows_of_export(whole: Row) -> list[Row]:
    """The conversations of an export that is one object with a list of messages; [] for any other document."""
    messages = whole.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        return []
    read = next((reader for keys, reader in _EXPORTS if _fits(whole, messages, keys)), None)
    if read is None:
        return []
    told = [one for message in messages for one in read(message)]
    return list(talks(sorted(told, key=lambda one: one.seconds)))


def _fits(whole: Row, messages: list[Row], keys: tuple[str, ...]) -> bool:
    return all(key in whole or any(key in message for message in messages[:20]) for key in keys)


def _discord(message: Row) -> Iterator[Told]:
    author = message.get("author")
    if isinstance(author, dict):
        who = BOT if author.get("isBot") is True else str(author.get("name"))
        yield from _said(who, message.get("content"), _time(message.get("timestamp")))


def _telegram(message: Row) -> Iterator[Told]:
    if message.get("type") == "message":
        text = message.get("text")
        if isinstance(text, list):
            text = "".join(one if isinstance(one, str) else str(one.get("text", "")) for one in text)
        yield from _said(str(message.get("from")), text, _time(message.get("date")))


def _messenger(message: Row) -> Iterator[Told]:
    text = message.get("content")
    if isinstance(text, str):
        # Facebook writes the bytes of UTF-8 as characters of Latin-1.
        with contextlib.suppress(UnicodeError):
            text = text.encode("latin-1").decode()
        yield from _said(str(message.get("sender_name")), text, _number(message.get("timestamp_ms")) / 1000)


_EXPORTS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("guild", "channel", "author"), _discord),
    (("from_id", "text", "date"), _telegram),
    (("participants", "sender_name"), _messenger),
)


def are_slack(rows: list[Row]) -> bool:
    """Whether rows are the messages of a day of Slack."""
    return len(rows) > 1 and all(row.get("type") == "message" and {"ts", "text"} <= row.keys() for row in rows)


def are_played(rows: list[Row]) -> bool:
    """Whether rows are the lines of one chat of SillyTavern, behind one that says who plays."""
    return len(rows) > 2 and all({"mes", "is_user"} <= row.keys() for row in rows[1:]) and "mes" not in rows[0]


def told_in_slack(rows: Iterable[Row]) -> Iterator[Told]:
    """What stands in rows of Slack; bots answer."""
    for row in rows:
        who = BOT if row.get("bot_id") else str(row.get("user"))
        if not row.get("subtype") or row.get("bot_id"):
            yield from _said(who, row.get("text"), _number(row.get("ts")))


def told_in_play(rows: Iterable[Row]) -> Iterator[Told]:
    """What stands in rows of SillyTavern: those of the user, and the character's, which are answers."""
    for row in rows:
        if "mes" in row and row.get("is_system") is not True:
            yield from _said("user" if row.get("is_user") else "assistant", row["mes"], 0.0)


def is_phone_chat(head: str) -> bool:
    """Whether a text is the export of a chat of WhatsApp: lines with a time and a person."""
    return sum(1 for line in head.splitlines() if _LINE.match(line)) >= _MANY_LINES


def told_on_phone(lines: Iterable[str]) -> Iterator[Told]:
    """What the lines of such an export say; a line without a time goes on with the one before it."""
    waiting: Told | None = None
    days: dict[str, int] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            if waiting and line.strip():
                waiting = waiting._replace(what=f"{waiting.what}\n{line.strip()}")
            continue
        if waiting:
            yield waiting
        day = days.setdefault(found["day"], len(days))
        hour = int(found["hour"])
        if found["half"]:
            hour = hour % 12 + (12 if found["half"].upper() == "P" else 0)
        seconds = day * 86_400.0 + hour * 3600 + int(found["minute"]) * 60
        waiting = next(_said(found["who"], found["what"], seconds), None)
    if waiting:
        yield waiting


def _said(who: str, text: Any, seconds: float) -> Iterator[Told]:
    if isinstance(text, str) and text.strip() and not _NOT_SAID.match(text.strip()):
        yield Told(who.strip(), text.strip(), seconds)


def _time(value: Any) -> float:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def speakers_of(turns: list[Any], keys: tuple[str, ...]) -> list[str]:
    """The names under which people speak in these turns, in order."""
    found = [next((turn[key] for key in keys if key in turn), None) for turn in turns if isinstance(turn, dict)]
    names = [one.get("name") if isinstance(one, dict) else one for one in found]
    return list(dict.fromkeys(str(name) for name in names if isinstance(name, str | int)))
