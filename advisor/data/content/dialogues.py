"""Turns inside the words of one turn: whole dialogues in a field, names of speakers before what is said."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from advisor.base.language import later
from advisor.data.content.examiner import Examiner, excerpt, with_turns
from advisor.data.marked import SAID, TURN
from trainers.examples.example import Example
from trainers.examples.speakers import PEOPLE_PATTERN, turns_within

_OWN = {
    "user": ("user", "human", "usr", "用户"),
    "assistant": ("assistant", "bot", "chatbot", "ai", "gpt", "chatgpt", "助手"),
}
_STARTS = {
    role: re.compile(
        rf"^\s*[<\[*]*(?:{'|'.join(sorted(names, key=len, reverse=True))})[>\]*]*\s?[:：]\s*", re.IGNORECASE
    )
    for role, names in _OWN.items()
}


def _dialogue(example: Example) -> str:
    for message in example.messages:
        if message["role"] in ("user", "assistant") and turns_within(message["content"]):
            return excerpt(message["content"])
    return ""


def _split(example: Example) -> Example | None:
    """The turns as messages; None where what comes out does not take turns."""
    messages: list[tuple[dict[str, Any], int]] = []
    for place, message in enumerate(example.messages):
        if message["role"] in ("user", "assistant") and (turns := turns_within(message["content"])):
            messages += [({"role": role, "content": said}, place) for role, said in turns if said]
        else:
            messages.append((message, place))
    roles = [message["role"] for message, _ in messages if message["role"] in ("user", "assistant")]
    takes_turns = all(one != other for one, other in pairwise(roles))
    return with_turns(example, messages) if takes_turns else None


def _prefix(example: Example) -> str:
    for message in example.messages:
        start = _STARTS.get(message["role"])
        if start and start.match(message["content"]) and not turns_within(message["content"]):
            return excerpt(message["content"])
    return ""


def _without_prefix(example: Example) -> Example:
    messages = tuple(
        {**message, "content": start.sub("", message["content"])}
        if (start := _STARTS.get(message["role"]))
        else message
        for message in example.messages
    )
    return msgspec.structs.replace(example, messages=messages)


EXAMINERS = (
    Examiner(
        code="dialogue-in-field",
        hint=rf"(?i){TURN}[ua]{SAID}[\s<\[*]*(?:{PEOPLE_PATTERN})[>\]*]*\s?[:：]",
        look=_dialogue,
        what=later("hold a whole dialogue inside one turn"),
        why=later(
            "What the assistant says in there is read as part of the question and is not learnt, "
            "or the model learns to write both sides."
        ),
        fix=later("Split the dialogue into messages."),
        mend=_split,
        blocks_above=0.05,
    ),
    Examiner(
        code="speaker-names",
        hint=rf"(?i){TURN}[ua]{SAID}[\s<\[*]*(?:{'|'.join((*_OWN['user'], *_OWN['assistant']))})[>\]*]*\s?[:：]",
        look=_prefix,
        what=later("begin a turn with the name of its speaker"),
        why=later("The template says who speaks; the model learns to write the name before each answer."),
        fix=later("Remove the names."),
        mend=_without_prefix,
    ),
)
