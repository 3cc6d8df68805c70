"""Rows that are single messages, joined to the conversations that they belong to.

A message says by an id which conversation it is in (`conversation_id`, `thread_id`), or which message it answers
(`parent_id`, as OpenAssistant's trees do). Of several answers to a message the best ranked is taken, else the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from trainers.examples.people import NOTE, Told, are_played, are_slack, talks, told_in_play, told_in_slack
from trainers.examples.rows import Note, Row
from trainers.examples.turns import CONTENT_KEYS, KNOWN_KEYS, ROLE_KEYS, ROLES
from trainers.language import tr

CONVERSATION_KEYS = (
    "conversation_id", "conv_id", "dialog_id", "dialogue_id", "thread_id", "chat_id", "session_id", "message_tree_id",
)  # fmt: skip
_ORDER_KEYS = ("turn", "turn_id", "turn_index", "position", "message_index", "msg_index")
_OF_THE_PLACE = frozenset({"message_id", "parent_id", "rank", *_ORDER_KEYS})
_OF_THE_MESSAGE = KNOWN_KEYS | _OF_THE_PLACE
_TREE_KEY = "message_tree_id"
"""OpenAssistant's."""
_NOTE_NAMES = """
user_id created_date review_count review_result deleted synthetic model_name detoxify tree_state emojis labels
"""
_NOTES = frozenset(_NOTE_NAMES.split())
"""What volunteers and programs noted about each message of OpenAssistant's trees; deleted ones are left out."""
_LOOKED_AT = 20


def joined(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows themselves; or, where they are messages that name their conversation, one row a conversation."""
    first = list(islice(rows, _LOOKED_AT))
    everything = chain(first, rows)
    values = [row.value for row in first if row.value is not None]
    for fits, told in ((are_slack, told_in_slack), (are_played, told_in_play)):
        if fits(values):
            return _talks(told(row.value for row in everything if row.value is not None))
    key = _conversation_key([row.value for row in first if row.value is not None])
    return everything if key is None else _conversations(everything, key)


def _talks(told: Iterable[Told]) -> Iterator[Row]:
    for number, talk in enumerate(talks(told), 1):
        yield Row(number, talk, note=Note(tr(NOTE)) if number == 1 else None)


def _conversation_key(rows: list[dict[str, Any]]) -> str | None:
    if len(rows) < 2 or not all(_is_message(row) for row in rows):
        return None
    return next((key for key in CONVERSATION_KEYS if all(row.get(key) not in (None, "") for row in rows)), None)


def _is_message(row: dict[str, Any]) -> bool:
    said = next((row[key] for key in ROLE_KEYS if isinstance(row.get(key), str)), None)
    return said is not None and said.strip().lower() in ROLES and any(key in row for key in CONTENT_KEYS)


def _conversations(rows: Iterator[Row], key: str) -> Iterator[Row]:
    """Messages that stand one behind the other are one conversation; one that comes back is a broken row."""
    seen: set[int] = set()
    held: list[Row] = []
    for row in rows:
        if row.value is None or row.value.get(key) in (None, ""):
            yield row if row.value is None else Row(row.line, None, tr("a message without {key}", key=key))
            continue
        if held and held[0].value and held[0].value[key] != row.value[key]:
            yield _conversation(held, key, seen)
            held = []
        held.append(row)
    if held:
        yield _conversation(held, key, seen)


def _conversation(held: list[Row], key: str, seen: set[int]) -> Row:
    first = held[0].value or {}
    name = hash(str(first[key]))
    if name in seen:
        return Row(
            held[0].line, None, tr("{key} {first!r} comes again; sort the file by {key}", key=key, first=first[key])
        )
    note = held[0].note or (None if seen else Note(tr("messages are joined to conversations by {key}", key=key)))
    seen.add(name)
    messages = [row.value for row in held if row.value is not None]
    if key == _TREE_KEY:
        messages = [_without_notes(message) for message in messages if message.get("deleted") is not True]
        if not messages:
            return Row(held[0].line, None, tr("a conversation of which every message is deleted"))
        first = messages[0]
    if all("parent_id" in message and "message_id" in message for message in messages):
        messages = _best_path(messages)
    else:
        order = next((one for one in _ORDER_KEYS if all(isinstance(row.get(one), int) for row in messages)), None)
        messages = sorted(messages, key=lambda row: int(row[order])) if order else messages
    beside = {name: value for name, value in first.items() if _is_beside(name, value, messages)}
    turns = [_turn(row, {*beside, *_OF_THE_PLACE}) for row in messages]
    return Row(held[0].line, {"messages": turns, **beside}, note=note)


def _is_beside(name: str, value: Any, messages: list[dict[str, Any]]) -> bool:
    """Whether a column says something of the whole conversation: no key of a turn, and the same in each message."""
    return name not in _OF_THE_MESSAGE and all(message.get(name) == value for message in messages)


def _turn(message: dict[str, Any], without: set[str]) -> dict[str, Any]:
    """The message with everything of its own: what nobody reads of it is told, as in any other turn."""
    return {name: value for name, value in message.items() if name not in without and value is not None}


def _without_notes(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in _NOTES}


def _best_path(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From the root of a tree along the best answer to each message."""
    answers: dict[Any, list[dict[str, Any]]] = {}
    for message in messages:
        answers.setdefault(message["parent_id"], []).append(message)
    known = {message["message_id"] for message in messages}
    roots = [message for message in messages if message["parent_id"] not in known]
    path: list[dict[str, Any]] = []
    waiting = roots[:1]
    while waiting:
        best = min(waiting, key=_rank)
        path.append(best)
        # A message that answers itself would go on for ever.
        waiting = answers.pop(best["message_id"], [])
    return path


def _rank(message: dict[str, Any]) -> float:
    rank = message.get("rank")
    return float(rank) if isinstance(rank, int | float) else float("inf")
