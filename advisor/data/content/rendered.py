"""Rows of plain text that are a chat: rendered by some model's template before, or written out with names."""

from __future__ import annotations

import msgspec

from advisor.base.language import later, tr
from advisor.data.content.examiner import Examiner, excerpt
from advisor.data.marked import PLAIN, SAID, TURN
from trainers.examples.example import Example, RowError
from trainers.examples.layouts import BY_NAME, turns_of
from trainers.examples.rendered import dialect_of, messages_of, start_token
from trainers.examples.speakers import LABELS_PATTERN, turns_spoken
from trainers.examples.turns import decoded

_MARKS = (
    r"<\||\[/?INST\]|<start_of_turn>|<｜|\[\||### Instruction:|ASSISTANT: |<end_of_utterance>|GPT4 |<(?i:user|human)>"
)
_DIALOGUE_SHARE = 0.05
"""Below it they are questions and answers among other documents."""


def _look(example: Example) -> str:
    if example.messages:
        return ""
    dialect = dialect_of(example.text)
    if dialect is None:
        return ""
    start = start_token(example.text)
    second = tr(", with a start token ({start}) that the tokenizer puts there too", start=start) if start else ""
    return tr("the marks of {family}{second}", family=dialect.family, second=second)


def _json(example: Example) -> str:
    return excerpt(example.text) if not example.messages and _from_json(example) is not None else ""


def _from_json(example: Example) -> Example | None:
    """The conversation that a text holds as JSON: a list of messages, or a row with one."""
    found = decoded(example.text)
    row = {"messages": found} if isinstance(found, list) else found
    if not isinstance(row, dict) or not any(isinstance(turn, dict) for turn in turns_of(row)):
        return None
    try:
        return BY_NAME["messages"].read(row)
    except RowError:
        return None


def _spoken(example: Example) -> str:
    if example.messages or dialect_of(example.text):
        return ""
    return excerpt(example.text) if turns_spoken(example.text) else ""


def _as_messages(example: Example) -> Example | None:
    messages = messages_of(example.text)
    return msgspec.structs.replace(example, messages=tuple(messages), text="") if messages else None


EXAMINERS = (
    Examiner(
        code="rendered-chat",
        hint=rf"(?s){TURN}{PLAIN}{SAID}.*(?:{_MARKS})",
        look=_look,
        what=later("of plain text are chats that a template has rendered"),
        why=later(
            "All of a text is learnt, the words of the user too; to a model of another family its marks are letters."
        ),
        fix=later(
            "Give the turns as messages: they are written in the model's own template, and only answers are learnt."
        ),
        mend=_as_messages,
    ),
    Examiner(
        code="json-in-text",
        hint=rf'{TURN}{PLAIN}{SAID}\s*[\[{{][^\x1e]*"(?:role|from)"',
        look=_json,
        what=later("of plain text are conversations written as JSON"),
        why=later("The model learns to write the JSON, the words of the user and the marks around them."),
        fix=later("Give the turns as messages, not as text."),
        mend=_from_json,
    ),
    Examiner(
        code="written-dialogue",
        hint=rf"(?i){TURN}{PLAIN}{SAID}\s*[<\[*]*(?:{LABELS_PATTERN})[>\]*]*\s?[:：]|#\s?(?:{LABELS_PATTERN})[:：\s]",
        look=_spoken,
        what=later("of plain text are questions with their answers, written out with the names of the speakers"),
        why=later(
            "All of a text is learnt, the words of the user too, and the model is served with "
            "its own template, which looks otherwise."
        ),
        fix=later("Give the turns as messages, each with its role."),
        mend=_as_messages,
        warns_above=_DIALOGUE_SHARE,
    ),
)
