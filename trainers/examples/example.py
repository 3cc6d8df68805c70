"""One example as everything behind the reader sees it: a conversation, or plain text."""

from __future__ import annotations

from typing import Any

import msgspec

from trainers.examples.slots import SLOT, as_parts


class Example(msgspec.Struct, frozen=True):
    """One usable row: a conversation, or plain text when `messages` is empty.

    A message has `role` (system, user, assistant or tool) and `content` (text), and where the row has them
    `tool_calls` ([{"type": "function", "id"?, "function": {"name", "arguments"}}], arguments as an object when they
    parse, else as the text that stands there), `name`, `tool_call_id` and `reasoning_content`.
    """

    messages: tuple[dict[str, Any], ...] = ()
    text: str = ""
    tools: Any = None
    unlearnt: frozenset[int] = frozenset()
    """Places in `messages` of the answers that the data itself excludes from learning (weight 0, train false)."""
    images: tuple[str, ...] = ()
    """What names each picture (a path, an address or a `data:` URI), in the order of their slots in the messages."""

    @property
    def num_answers(self) -> int:
        """Assistant messages."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @property
    def size(self) -> int:
        """Characters of everything that is said."""
        if not self.messages:
            return len(self.text)
        return sum(len(message["content"]) for message in self.messages)

    @property
    def answers(self) -> list[str]:
        """What the assistant says; for plain text, the text."""
        if not self.messages:
            return [self.text]
        return [message["content"] for message in self.messages if message["role"] == "assistant"]

    def as_dict(self) -> dict[str, Any]:
        """Plain data: {"text"} or {"messages", "tools"?, "images"?}, `unlearnt` turns with weight 0."""
        if not self.messages:
            return {"text": self.text}
        messages = [
            {**_opened(message), "weight": 0} if place in self.unlearnt else _opened(message)
            for place, message in enumerate(self.messages)
        ]
        beside = {"tools": self.tools, "images": list(self.images)}
        return {"messages": messages, **{name: value for name, value in beside.items() if value}}


def _opened(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "content": as_parts(message["content"])} if SLOT in message["content"] else message


class RowError(ValueError):
    """One row that cannot be used; the message says what is wrong with it."""


class RowExcludedError(RowError):
    """One row that the data itself takes out of training (a rejected answer); nothing is wrong with it."""
