"""Reasoning of an answer: apart from it, under the name that the template reads, or written in front of it.

The policy. Reasoning that the data holds is learnt with its answer. A template that drops the reasoning of earlier
turns leaves those turns without labels in that text: an answer learnt without its reasoning would unlearn it. An
empty block is never learnt, whether the template writes it or the data: it says that there is no reasoning. Reasoning
that is opened and never closed, or that stands behind words of the answer, breaks its row: the first has no answer,
the second no template can show.
"""

from __future__ import annotations

import re
from typing import Any

from trainers.language import tr

Message = dict[str, Any]

KEYS = ("reasoning_content", "reasoning", "thinking")
"""Names under which published templates read reasoning (Qwen, DeepSeek, GLM; Gemma 4; gpt-oss)."""

TAGS = ("<think>", "</think>")
"""How reasoning is written into the answer itself, by DeepSeek-R1 and those that followed."""

# The opening is missing where the template of the model that wrote the answer had put it into the prompt.
_INLINE = re.compile(r"\s*(?P<opening><think>)?(?P<thought>.*?)</think>(?P<said>.*)", re.DOTALL)
_QUOTES = ("`", "'", '"', "“", "「")
_TAG = re.compile(r"(?<![`'\"“「])</?think>")


def apart(message: Message) -> Message:
    """An assistant message with the reasoning that stands in its content moved to `reasoning_content`."""
    if message["role"] != "assistant" or message.get("reasoning_content"):
        return message
    found = _begun(message["content"])
    if not found:
        return message
    bare = {**message, "content": found["said"].lstrip()}
    return {**bare, "reasoning_content": found["thought"].strip()} if found["thought"].strip() else bare


def written_out(message: Message) -> Message:
    """An assistant message whose answer keeps its reasoning as the data has it: with its opening, and never empty."""
    if message["role"] != "assistant" or message.get("reasoning_content"):
        return message
    found = _begun(message["content"])
    if not found or (found["opening"] and found["thought"].strip()):
        return message
    if not found["thought"].strip():
        return {**message, "content": found["said"].lstrip()}
    return {**message, "content": f"{TAGS[0]}\n{message['content'].lstrip()}"}


def _begun(content: str) -> re.Match[str] | None:
    """The reasoning that an answer begins with, and what is said behind it."""
    found = _INLINE.fullmatch(content) if TAGS[1] in content else None
    if not found or TAGS[0] in found["thought"] or (not found["opening"] and found["thought"].endswith(_QUOTES)):
        return None
    return found


def fault_of(message: Message) -> str:
    """What is wrong with the reasoning that stands in an answer's words; "" for nothing."""
    if message["role"] != "assistant" or "think>" not in message["content"]:
        return ""
    said = apart(message)["content"]
    tags = _TAG.findall(said)
    if not tags:
        return ""
    is_open = tags.count(TAGS[0]) > tags.count(TAGS[1])
    return tr("is opened and never closed") if is_open else tr("does not stand in front of the answer")


def placed(message: Message, key: str | None) -> Message:
    """The message with its reasoning under `key`, in front of the answer for "inline", left out for None."""
    thought = message.get("reasoning_content")
    if not thought:
        return message
    bare = {name: value for name, value in message.items() if name != "reasoning_content"}
    if key is None:
        return bare
    if key == "inline":
        return {**bare, "content": f"{TAGS[0]}\n{thought}\n{TAGS[1]}\n\n{bare['content']}"}
    return {**bare, key: thought}


def without(message: Message) -> Message:
    """The message without any reasoning."""
    return placed(apart(message), None)


def empty_block(opening: str, closing: str) -> re.Pattern[str]:
    """Matches a block of reasoning with nothing in it, and the whitespace around it."""
    return re.compile(rf"\s*{re.escape(opening)}\s*{re.escape(closing)}\s*")
