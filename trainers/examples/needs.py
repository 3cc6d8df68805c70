"""What a conversation holds, against what the chat template shows: nothing of it may vanish without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainers.examples.card import Card
from trainers.examples.proof import Message, Unproven
from trainers.examples.reasoning import fault_of
from trainers.language import tr


def require_shown(card: Card, messages: Sequence[Message], tools: Any) -> None:
    """Raises Unproven for what the data holds and the template shows nowhere."""
    calling = [message for message in messages if message.get("tool_calls")]
    if not card.calls and calling:
        raise Unproven("calls", tr("the chat template does not show tool calls"))
    if not card.parallel_calls and any(len(message["tool_calls"]) > 1 for message in calling):
        raise Unproven("parallel-calls", tr("the chat template shows one call in an answer, and no more"))
    if not card.words_and_reasoning and card.reasoning_key and any(map(_speaks_and_thinks, calling)):
        raise Unproven("words", tr("the chat template takes words or reasoning beside a call, and not both"))
    if not card.tools and tools:
        raise Unproven("tools", tr("the chat template does not show the tools that may be called"))
    if not card.results and any(message["role"] == "tool" for message in messages):
        raise Unproven("results", tr("the chat template does not show what a tool returned"))
    if card.reasoning_key is None and any(message.get("reasoning_content") for message in messages):
        raise Unproven("reasoning", tr("the chat template does not show reasoning"))
    if card.system == "dropped" and any(message["role"] == "system" for message in messages):
        raise Unproven("system", tr("the chat template does not show system messages"))


def require_whole_reasoning(messages: Sequence[Message]) -> None:
    """Raises Unproven where the reasoning in an answer's words has no end, or does not come first."""
    for place, message in enumerate(messages):
        if fault := fault_of(message):
            raise Unproven("thought", tr("the reasoning of message {place} {fault}", place=place + 1, fault=fault))


def require_last_reasoning(messages: Sequence[Message], dropped: Sequence[int]) -> None:
    """Raises Unproven where reasoning is dropped and nobody asks behind it: no row of its own would show it."""
    last = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)
    for place in dropped:
        if place > last:
            raise Unproven(
                "reasoning", tr("the chat template does not show the reasoning of message {place}", place=place + 1)
            )


def _speaks_and_thinks(message: Message) -> bool:
    return bool(message["content"].strip() and message.get("reasoning_content"))
