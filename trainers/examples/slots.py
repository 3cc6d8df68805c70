"""Where pictures stand in the words of a message: the one mark for them that everything behind the reader knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SLOT = "\ufdd0"
"""Stands in the words of a message where a picture does. Unicode keeps this code for use inside of programs, so that
no text holds it."""

Message = dict[str, Any]


def without_slots(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages as words alone: what a model reads that sees none of the pictures."""
    return tuple(
        {**message, "content": message["content"].replace(SLOT, "").lstrip("\n")}
        if SLOT in message["content"]
        else message
        for message in messages
    )


def as_parts(text: str) -> list[Message]:
    """The words of a message as parts, a picture at each slot."""
    parts: list[Message] = []
    for place, words in enumerate(text.split(SLOT)):
        if place:
            parts.append({"type": "image"})
        if words:
            parts.append({"type": "text", "text": words})
    return parts
