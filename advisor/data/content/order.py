"""Turns out of place: answers that go on with the next question, repeat their own, follow one another, or lack."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from advisor.base.language import later, tr
from advisor.data.content.examiner import Examiner, excerpt
from advisor.data.marked import ANSWER, MORE, TURN
from trainers.examples.example import Example
from trainers.examples.turns import decoded

Message = dict[str, Any]

SHORTEST_QUESTION = 20
"""Characters; what is shorter may begin an answer by chance."""
_NEXT = re.compile(r"\n\s*\n(?:#+\s?|\*\*)?(?:Human|User|USER|人类|用户)(?:\*\*)?\s?[:：]")
_FIRST = re.compile(r"\s*(?:#+\s?|\*\*)?\w+(?:\*\*)?\s?[:：]")
_ROLE_LINE = re.compile(r"\s*(?:<\|assistant\|>|assistant|Assistant|ASSISTANT)\s*\n+(?=\S)")


def _runs_on(example: Example) -> str:
    for message in example.messages:
        text = message["content"]
        if message["role"] == "assistant" and (found := _NEXT.search(text)) and not _FIRST.match(text):
            return excerpt(text, *found.span())
    return ""


def _ended(example: Example) -> Example:
    return _each_answer(example, lambda text: text if _FIRST.match(text) else _NEXT.split(text)[0])


def _repeats(example: Example) -> str:
    for asked, answered in pairwise(example.messages):
        if _begins_with_question(asked, answered):
            return excerpt(answered["content"])
    return ""


def begins_as_asked(example: Example) -> bool:
    """Whether some turn begins with the same character as the one before it, or with whitespace."""
    before = None
    for message in example.messages:
        first = message["content"][:1]
        if first == before or first.isspace():
            return True
        before = first
    return False


def _begins_with_question(asked: Message, answered: Message) -> bool:
    if asked["role"] != "user" or answered["role"] != "assistant":
        return False
    question, answer = asked["content"].strip(), answered["content"].strip()
    return len(question) >= SHORTEST_QUESTION and answer.startswith(question) and len(answer) > len(question)


def _without_question(example: Example) -> Example:
    made = [example.messages[0]]
    for asked, answered in pairwise(example.messages):
        begins = _begins_with_question(asked, answered)
        rest = answered["content"].strip()[len(asked["content"].strip()) :].strip() if begins else ""
        made.append({**answered, "content": rest} if begins else answered)
    return msgspec.structs.replace(example, messages=tuple(made))


def _role_line(example: Example) -> str:
    for message in example.messages:
        if message["role"] == "assistant" and _ROLE_LINE.match(message["content"]):
            return excerpt(message["content"])
    return ""


def _nested(example: Example) -> str:
    for message in example.messages:
        if message["role"] == "assistant" and _inner(message) is not None:
            return excerpt(message["content"])
    return ""


def _inner(message: Message) -> Message | None:
    """The message that an answer holds as JSON, instead of words."""
    if not message["content"].lstrip().startswith("{"):
        return None
    found = decoded(message["content"])
    is_one = isinstance(found, dict) and found.get("role") == "assistant" and isinstance(found.get("content"), str)
    return found if is_one else None


def _unnested(example: Example) -> Example:
    made = []
    for message in example.messages:
        inner = _inner(message) if message["role"] == "assistant" else None
        made.append({**message, "content": inner["content"]} if inner else message)
    return msgspec.structs.replace(example, messages=tuple(made))


def _two_answers(example: Example) -> str:
    for place, (one, other) in enumerate(pairwise(example.messages), 2):
        if one["role"] == other["role"] == "assistant" and not one.get("tool_calls"):
            return tr("message {place} answers once more", place=place)
    return ""


def _answer_first(example: Example) -> str:
    roles = [message["role"] for message in example.messages if message["role"] != "system"]
    first = next((message for message in example.messages if message["role"] != "system"), None)
    return excerpt(first["content"]) if first and roles[0] == "assistant" and "user" in roles[1:] else ""


def ends_unanswered(example: Example) -> bool:
    """Whether something is said behind the last answer."""
    return bool(example.messages) and example.messages[-1]["role"] != "assistant"


def _unanswered(example: Example) -> str:
    return excerpt(example.messages[-1]["content"]) if ends_unanswered(example) else ""


def _until_answered(example: Example) -> Example | None:
    """The example up to its last answer; None where it has none."""
    if not ends_unanswered(example):
        return example
    answered = [place for place, message in enumerate(example.messages, 1) if message["role"] == "assistant"]
    return msgspec.structs.replace(example, messages=example.messages[: answered[-1]]) if answered else None


def _joined(example: Example) -> Example | None:
    """Answers in a row as one; the row is left out where one of them is not to be learnt."""
    if example.unlearnt:
        return None
    made: list[Message] = []
    for message in example.messages:
        last = made[-1] if made else None
        if last and last["role"] == message["role"] == "assistant" and not last.get("tool_calls"):
            words = "\n\n".join(filter(None, (last["content"], message["content"])))
            made[-1] = {**last, **message, "content": words}
        else:
            made.append(message)
    return msgspec.structs.replace(example, messages=tuple(made))


def _each_answer(example: Example, change: Any) -> Example:
    messages = tuple(
        {**message, "content": change(message["content"])} if message["role"] == "assistant" else message
        for message in example.messages
    )
    return msgspec.structs.replace(example, messages=messages)


EXAMINERS = (
    Examiner(
        code="next-question",
        hint=r"\n\s*\n(?:#+\s?|\*\*)?(?:Human|User|USER|人类|用户)(?:\*\*)?\s?[:：]",
        look=_runs_on,
        what=later("go on with the next question inside an answer"),
        why=later("The model learns not to stop, and to write what the user says."),
        fix=later("Cut the answers where the next question begins."),
        mend=_ended,
    ),
    Examiner(
        code="repeated-question",
        hint=begins_as_asked,
        look=_repeats,
        what=later("begin the answer with the whole question"),
        why=later("The words of the question are learnt as words of the answer."),
        fix=later("Take the question out of the answers."),
        mend=_without_question,
        warns_above=0.02,
        blocks_above=0.50,
    ),
    Examiner(
        code="role-lines",
        hint=rf"(?i){ANSWER}\s*(?:<\|assistant\|>|assistant)\s*\n",
        look=_role_line,
        what=later("begin an answer with the name of its role"),
        why=later("The template writes it already; the model learns to write it twice."),
        fix=later("Remove the line."),
        mend=lambda example: _each_answer(example, lambda text: _ROLE_LINE.sub("", text, count=1)),
    ),
    Examiner(
        code="nested-messages",
        hint=rf'{ANSWER}\s*\{{[^{{]*"role"',
        look=_nested,
        what=later("hold a whole message as JSON in the place of an answer's words"),
        why=later("The model learns to write the JSON."),
        fix=later("Put the content of the inner message in its place."),
        mend=_unnested,
        blocks_above=0.05,
    ),
    Examiner(
        code="answer-first",
        hint=rf"^(?:{TURN}[sd][^{TURN}]*)*{ANSWER}",
        look=_answer_first,
        what=later("begin with the assistant and not with a question"),
        why=later(
            "What it says there is learnt as an answer to nothing; where most rows begin so, the "
            "roles may be swapped."
        ),
        fix=later("Swap the roles if they are; a greeting can be given weight 0."),
        warns_above=0.05,
    ),
    Examiner(
        code="two-answers",
        hint=rf"{ANSWER}[^{TURN}{MORE}]*{ANSWER}",
        look=_two_answers,
        what=later("hold two answers in a row"),
        why=later("A served model gives one answer and stops; a second one behind it is never asked for."),
        fix=later("Join them, or put the question between them."),
        mend=_joined,
        warns_above=0.01,
    ),
    Examiner(
        code="unanswered-end",
        hint=ends_unanswered,
        look=_unanswered,
        what=later("end with a turn that nobody answers"),
        why=later(
            "Nothing is learnt from that turn; it costs time and length. The answers before it are learnt as ever."
        ),
        fix=later("Cut it off, or write the answer that is missing."),
        mend=_until_answered,
        warns_above=1.0,
    ),
)
