"""Cells and turns that say nothing: missing values written as text, and assistant turns without words."""

from __future__ import annotations

import re
from typing import Any

from advisor.base.language import later, tr
from advisor.data.content.examiner import Examiner, answers, rewritten, with_turns
from advisor.data.marked import ANSWER, MORE, SAID, TURN
from trainers.examples.example import Example

_MISSING = frozenset({"nan", "NaN", "NAN", "<NA>", "NaT", "#N/A", "#REF!", "#VALUE!", "undefined", "[object Object]"})
_MAYBE = frozenset({"None", "null", "NULL", "N/A"})
"""Also what an answer can mean."""
_WORDS = "|".join(re.escape(one) for one in sorted(_MISSING | _MAYBE))
_END = f"[{TURN}{MORE}]|$"


def _missing(example: Example) -> str:
    return _among(example, _MISSING, roles=("assistant", "user"))


def _maybe_missing(example: Example) -> str:
    return _among(example, _MAYBE, roles=("assistant",))


def _among(example: Example, words: frozenset[str], roles: tuple[str, ...]) -> str:
    for message in example.messages:
        if message["role"] in roles and (said := message["content"].strip()) in words:
            is_answer = message["role"] == "assistant"
            return (
                tr("{said!r} as a whole answer", said=said)
                if is_answer
                else tr("{said!r} as a whole question", said=said)
            )
    return ""


def says_nothing(message: dict[str, Any]) -> bool:
    """Whether an assistant turn has neither words nor a call."""
    return message["role"] == "assistant" and not str(message["content"]).strip() and not message.get("tool_calls")


def _empty(example: Example) -> str:
    numbers = [number for number, message in enumerate(example.messages, 1) if says_nothing(message)]
    return (
        tr("turn {numbers} of {num_messages}", numbers=numbers[0], num_messages=len(example.messages))
        if numbers
        else ""
    )


def _without_empty(example: Example) -> Example | None:
    """The question that got no answer goes too; what is left has to hold an answer."""
    kept: list[tuple[dict[str, Any], int]] = []
    for place, message in enumerate(example.messages):
        if says_nothing(message):
            while kept and kept[-1][0]["role"] in ("user", "tool"):
                kept.pop()
        else:
            kept.append((message, place))
    mended = with_turns(example, kept)
    return mended if any(one.strip() for one in answers(mended)) else None


def _without_missing(example: Example) -> Example | None:
    emptied = rewritten(example, lambda text: "" if text.strip() in _MISSING | _MAYBE else text, role="assistant")
    if any(message["role"] == "user" and message["content"].strip() in _MISSING for message in example.messages):
        return None
    return _without_empty(emptied)


EXAMINERS = (
    Examiner(
        code="missing-values",
        hint=rf"{TURN}[au]{SAID}\s*(?:{_WORDS})\s*(?:{_END})",
        look=_missing,
        what=later("hold a missing cell that was written as text"),
        why=later("The model learns to answer with it."),
        fix=later("Leave these rows out, or fill the cells at their source."),
        mend=_without_missing,
        blocks_above=0.05,
    ),
    Examiner(
        code="none-answers",
        hint=rf"{ANSWER}\s*(?:{_WORDS})\s*(?:{_END})",
        look=_maybe_missing,
        what=later("have an answer that may be a missing cell"),
        why=later("Where it is not meant as an answer, the model learns to give it."),
        fix=later("Leave these rows out if nothing is meant by it."),
        mend=_without_missing,
        warns_above=0.01,
    ),
    Examiner(
        code="empty-answers",
        hint=rf"{ANSWER}\s*(?:{_END})",
        look=_empty,
        what=later("hold an assistant turn without words"),
        why=later("The model learns to end its turn at once."),
        fix=later("Remove the empty turn with its question."),
        mend=_without_empty,
        blocks_above=0.05,
    ),
)
