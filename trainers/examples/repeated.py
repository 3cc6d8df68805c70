"""Columns that nothing reads, and whose content reaches the model all the same: copies, what follows from others."""

from __future__ import annotations

from typing import Any

from trainers.examples.conversation import INSTRUCTED
from trainers.examples.declared import SWITCH_COLUMNS, TOLD_TOOLS
from trainers.examples.example import Example
from trainers.examples.mapping import folded
from trainers.examples.turns import decoded

TELLING_CHARACTERS = 20
"""A text that long does not stand inside another by chance."""
_EMPTY: tuple[Any, ...] = (None, "", [], {})
_FOLLOWED = frozenset({INSTRUCTED, *TOLD_TOOLS, "enable_thinking", "thinking", "add_generation_prompt"})
"""What a chat template may be told that is read, or follows from the answer: whether it thinks."""


def stands_in(example: Example, value: Any) -> bool:
    """Whether the text of a column is one that is read from another: many sets keep the question apart as well."""
    if type(value) is list:
        return bool(value) and all(type(turn) is dict and stands_in(example, turn.get("content")) for turn in value)
    if type(value) is not str or not value.strip():
        return False
    said = value.strip()
    texts = [message["content"] for message in example.messages] or [example.text]
    texts += [message["reasoning_content"] for message in example.messages if "reasoning_content" in message]
    return any(said == text.strip() or (len(said) >= TELLING_CHARACTERS and said in text) for text in texts)


def is_followed(name: str, value: Any) -> bool:
    """Whether everything that a column tells the chat template is heeded."""
    if folded(str(name)) not in SWITCH_COLUMNS:
        return False
    told = decoded(value)
    return isinstance(told, dict) and all(key in _FOLLOWED for key, held in told.items() if held not in _EMPTY)
