"""Reasoning in answers: without an end, without an answer behind it, between marks that no template knows."""

from __future__ import annotations

import re

import msgspec

from advisor.base.language import later, tr
from advisor.data.content.examiner import Examiner, answers, excerpt, rewritten
from advisor.data.marked import PLAIN, SAID, TURN
from trainers.examples.example import Example
from trainers.examples.reasoning import apart, fault_of

_FOREIGN = re.compile(
    r"\s*<(?P<tag>(?-i:Think|THINK)|thinking|reasoning|thought|reflection|scratchpad|\|begin_of_thought\|)>(?P<thought>.*?)"
    r"<(?:/(?P=tag)|\|end_of_thought\|)>(?P<said>.*)",
    re.DOTALL | re.IGNORECASE,
)
_NOTHING = re.compile(r"\s*<think>\s*</think>\s*")
_WRAPPED = re.compile(
    r"\s*<(?:answer|solution|output|\|begin_of_solution\|)>(.*)<(?:/(?:answer|solution|output)|\|end_of_solution\|)>\s*",
    re.DOTALL | re.IGNORECASE,
)


def _broken(example: Example) -> str:
    for place, message in enumerate(example.messages):
        if fault := fault_of(message):
            return tr(
                "in message {place} it {fault}: {excerpt}",
                place=place + 1,
                fault=fault,
                excerpt=excerpt(message["content"]),
            )
    return ""


def _alone(example: Example) -> str:
    for message in map(apart, example.messages):
        if message.get("reasoning_content") and not message["content"].strip() and not message.get("tool_calls"):
            return excerpt(message["reasoning_content"])
    return ""


def _empty(example: Example) -> str:
    for message in example.messages:
        if message["role"] == "assistant" and _NOTHING.match(message["content"]):
            return excerpt(message["content"])
    return ""


def _without_empty(example: Example) -> Example:
    return rewritten(example, lambda text: _NOTHING.sub("", text), role="assistant")


def _foreign(example: Example) -> str:
    return next((excerpt(text) for text in answers(example) if _FOREIGN.fullmatch(text)), "")


def _renamed(example: Example) -> Example:
    """Reasoning between foreign marks as reasoning, and the answer without the marks around it."""
    made = []
    for message in example.messages:
        found = _FOREIGN.fullmatch(message["content"]) if message["role"] == "assistant" else None
        if found:
            wrapped = _WRAPPED.fullmatch(found["said"])
            said = (wrapped[1] if wrapped else found["said"]).strip()
            message = {**message, "content": said, "reasoning_content": found["thought"].strip()}
        made.append(message)
    return msgspec.structs.replace(example, messages=tuple(made))


def _leave_out(_: Example) -> None:
    return None


_BLOCK = re.compile(r"(?<![`'\"“「])<think>(?P<thought>\s*[^<\s`'\"].*?)</think>(?![`'\"”」])", re.DOTALL)
_OPENED = re.compile(r"(?:^|\n|(?<=\s))<think>\s*$")


def _elsewhere(example: Example) -> str:
    """Reasoning in words that are not the assistant's; an opening at the end of a question counts too."""
    for message in example.messages:
        if message["role"] != "assistant" and (found := _BLOCK.search(message["content"])):
            return excerpt(message["content"], *found.span())
        if message["role"] == "user" and (found := _OPENED.search(message["content"])):
            return excerpt(message["content"], *found.span())
    return ""


def _brought(example: Example) -> Example | None:
    """Reasoning that a question brings for its answer goes there; any other row is left out."""
    made = list(example.messages)
    for place, message in enumerate(made):
        text = message["content"]
        if message["role"] == "assistant" or not (_BLOCK.search(text) or _OPENED.search(text)):
            continue
        answer = made[place + 1] if place + 1 < len(made) else None
        if message["role"] != "user" or answer is None or answer["role"] != "assistant":
            return None
        thoughts = [found["thought"].strip() for found in _BLOCK.finditer(text)]
        asked = _OPENED.sub("", _BLOCK.sub("", text)).strip()
        if not asked or (thoughts and apart(answer).get("reasoning_content")):
            return None
        made[place] = {**message, "content": asked}
        if thoughts:
            made[place + 1] = {**answer, "reasoning_content": "\n\n".join(thoughts)}
    return msgspec.structs.replace(example, messages=tuple(made))


def _in_text(example: Example) -> str:
    found = None if example.messages else _BLOCK.search(example.text)
    return excerpt(example.text, *found.span()) if found and example.text[found.end() :].strip() else ""


def _as_exchange(example: Example) -> Example | None:
    """What stands before the reasoning as the question, what stands behind it as the answer."""
    pieces = _BLOCK.split(example.text)
    if len(pieces) != 3 or not pieces[0].strip() or not pieces[2].strip():
        return None
    asked, thought, said = (piece.strip() for piece in pieces)
    answer = {"role": "assistant", "content": said, "reasoning_content": thought}
    return msgspec.structs.replace(example, text="", messages=({"role": "user", "content": asked}, answer))


EXAMINERS = (
    Examiner(
        code="stray-reasoning",
        hint="<think>",
        look=_elsewhere,
        what=later("hold reasoning in words that are not the assistant's"),
        why=later(
            "It is shown and not learnt: the model learns to answer without thinking, behind "
            "thoughts that nobody gives it in serving."
        ),
        fix=later("Put the reasoning in front of the answer that it leads to."),
        mend=_brought,
        blocks_above=0.05,
    ),
    Examiner(
        code="reasoning-in-text",
        hint=rf"(?s){TURN}{PLAIN}{SAID}.*<think>",
        look=_in_text,
        what=later("of plain text hold a question, reasoning and an answer as one text"),
        why=later("All of it is learnt, the question too, and the model is served with turns, which look otherwise."),
        fix=later("Give question and answer as messages, and the reasoning as reasoning_content."),
        mend=_as_exchange,
    ),
    Examiner(
        code="broken-reasoning",
        hint="think>",
        look=_broken,
        what=later("hold reasoning that has no end or no place"),
        why=later(
            "Reasoning that is opened and never closed was cut, and no answer follows it; in the "
            "middle of an answer no template shows it as reasoning. Such rows are left out."
        ),
        fix=later("Close each reasoning with </think> in front of the answer, or leave the rows out."),
        mend=_leave_out,
        blocks_above=0.05,
    ),
    Examiner(
        code="no-answer",
        hint='</think>|"reasoning_content":',
        look=_alone,
        what=later("hold reasoning and no answer behind it"),
        why=later("The model learns to think and then to say nothing."),
        fix=later("Add the answers, or leave the rows out."),
        mend=_leave_out,
        blocks_above=0.05,
    ),
    Examiner(
        code="empty-reasoning",
        hint=r"<think>\s*</think>",
        look=_empty,
        what=later("hold an empty block of reasoning"),
        why=later(
            "It is never learnt: the template writes one in front of the answer where its model knows such a block."
        ),
        fix=later("Nothing needs to be done; without the blocks the file says the same."),
        mend=_without_empty,
        warns_above=1.0,
    ),
    Examiner(
        code="foreign-reasoning",
        hint=r"(?i)<(?:think|thinking|reasoning|thought|reflection|scratchpad|\|begin_of_thought\|)>",
        look=_foreign,
        what=later("hold reasoning between marks of their own"),
        why=later(
            "It is learnt as words of the answer, which servers show to the user, and not as the model's reasoning."
        ),
        fix=later("Write it as reasoning_content of the message, or between <think> and </think>."),
        mend=_renamed,
    ),
)
