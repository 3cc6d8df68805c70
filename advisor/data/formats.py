"""What a row means: its format by looking at several rows, and each row as one Example or as what is wrong with it.

The conventions (roles, answer columns, ShareGPT names) are those of trainers/conversations.py, which this side may
not import; tests/data/test_formats.py holds the two together.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from advisor.data.profile import DatasetFormat
from advisor.data.source import Row
from advisor.errors import InputError, Problem

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "function_response", "observation", "ipython"), "tool"),
}
"""Names of speakers met in published datasets -> the four roles that chat templates know."""

ANSWER_COLUMNS = ("output", "response", "completion", "answer")

_RENAMES = {
    ("question", "answer"): "prompt and completion",
    ("query", "response"): "prompt and completion",
    ("input", "output"): "prompt and completion",
    ("source", "target"): "prompt and completion",
    ("prompt", "response"): "prompt and completion",
    ("prompt", "chosen"): "prompt and completion (a preference set: keep only the chosen answer)",
    ("content",): "text",
    ("dialogue",): "messages",
    ("dialog",): "messages",
    ("chat",): "messages",
    ("conversation",): "messages",
}


class Example(msgspec.Struct, frozen=True):
    """One usable row: a conversation, or plain text when `messages` is empty."""

    messages: tuple[dict[str, Any], ...] = ()
    text: str = ""
    tools: Any = None

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


class RowError(ValueError):
    """One row that cannot be used; the message says what is wrong with it."""


def format_of(row: dict[str, Any]) -> DatasetFormat | None:
    """The format that a row's columns show, or None."""
    for column in ("messages", "conversations"):
        turns = row.get(column)
        if isinstance(turns, list | str) and turns:
            turns = _decoded(turns)
            is_sharegpt = isinstance(turns, list) and isinstance(turns[0], dict) and "from" in turns[0]
            return "sharegpt" if is_sharegpt else "messages"
    if "prompt" in row and "completion" in row:
        return "prompt_completion"
    if "instruction" in row and any(name in row for name in ANSWER_COLUMNS):
        return "alpaca"
    return "text" if isinstance(row.get("text"), str) else None


def detect_format(rows: list[Row], source: str) -> DatasetFormat:
    """The format that most of these rows show.

    Raises InputError when no row can be read, when the columns are of no known format, or when the rows are of
    several: a trainer would drop or misread all but one kind.
    """
    readable = [row for row in rows if row.value is not None]
    if not readable:
        raise _unreadable(rows, source)
    votes = Counter(kind for row in readable if (kind := format_of(row.value or {})))
    if not votes:
        raise _unknown_format(readable[0].value or {}, source)
    if len(votes) > 1 and votes.most_common()[1][1] > 0.02 * len(readable):
        first = {kind: row.line for row in reversed(readable) if (kind := format_of(row.value or {}))}
        listed = ", ".join(f"{kind} (line {first[kind]})" for kind in votes)
        fix = "Bring all rows to one format, for example messages, or split the file."
        raise InputError(
            Problem(what=f"{source} mixes formats: {listed}", why="One run reads one.", fix=fix, where="--dataset")
        )
    return votes.most_common(1)[0][0]


def normalise(row: dict[str, Any], kind: DatasetFormat) -> Example:
    """One row as an Example. Raises RowError saying what is wrong with it."""
    if kind == "text":
        return Example(text=_text(row, "text"))
    if kind in ("messages", "sharegpt"):
        turns = row.get("messages") if row.get("messages") is not None else row.get("conversations")
        return _conversation(_decoded(turns), row)
    if kind == "prompt_completion":
        prompt, completion = _decoded(row.get("prompt")), _decoded(row.get("completion"))
        if _is_conversation(prompt) and _is_conversation(completion):
            return _conversation([*prompt, *completion], row)
        return _pair("", _text(row, "prompt"), _text(row, "completion"))
    answer = next((name for name in ANSWER_COLUMNS if row.get(name)), ANSWER_COLUMNS[0])
    question, more, system = _text(row, "instruction"), row.get("input"), row.get("system")
    if isinstance(more, str) and more.strip():
        question = f"{question}\n\n{more}"
    return _pair(system if isinstance(system, str) else "", question, _text(row, answer))


def _pair(system: str, question: str, answer: str) -> Example:
    first = ({"role": "system", "content": system},) if system.strip() else ()
    return Example((*first, {"role": "user", "content": question}, {"role": "assistant", "content": answer}))


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise RowError(f"column '{column}' is {'missing' if value is None else type(value).__name__}, not text")
    if not value.strip():
        raise RowError(f"column '{column}' is empty")
    return value


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "role" in v for v in value)


def _conversation(turns: Any, row: dict[str, Any]) -> Example:
    if not isinstance(turns, list) or not turns:
        raise RowError("no messages")
    messages = [_message(turn) for turn in turns]
    system = row.get("system")
    if isinstance(system, str) and system.strip() and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError("no assistant message to learn from")
    if not any(m["content"].strip() or "tool_calls" in m for m in messages if m["role"] == "assistant"):
        raise RowError("every assistant message is empty")
    return Example(tuple(messages), tools=_decoded(row.get("tools")) or None)


def _message(turn: Any) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise RowError(f"a message is a {type(turn).__name__}, not an object with role and content")
    said = turn.get("role", turn.get("from"))
    role = ROLES.get(said.lower()) if isinstance(said, str) else None
    if role is None:
        raise RowError(f"unknown role {said!r}" if said is not None else "a message without a role")
    content = turn.get("content", turn.get("value"))
    calls = turn.get("tool_calls")
    if isinstance(content, list):
        content = _joined(content)
    if content is None and not calls:
        raise RowError(f"a message of '{role}' has no content")
    if content is not None and not isinstance(content, str):
        raise RowError(f"content is a {type(content).__name__}; only text can be trained on")
    message: dict[str, Any] = {"role": role, "content": content or ""}
    if calls:
        message["tool_calls"] = [_tool_call(call) for call in _decoded(calls) or []]
    if isinstance(turn.get("name"), str):
        message["name"] = turn["name"]
    return message


def _joined(parts: list[Any]) -> str:
    if all(isinstance(part, dict) and part.get("type") == "text" for part in parts):
        return "".join(str(part.get("text") or "") for part in parts)
    raise RowError("content holds parts that are not text; only text can be trained on")


def _tool_call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError("a tool call has no function name")
    arguments = _decoded(function.get("arguments")) or {}
    return {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _decoded(value: Any) -> Any:
    """Lists and objects that a flat file had to write as JSON text; everything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


def _unreadable(rows: list[Row], source: str) -> InputError:
    if not rows:
        fix = "Give a file with at least two examples."
        return InputError(Problem(what=f"{source} holds no rows", why="", fix=fix, where="--dataset"))
    shown = "; ".join(f"line {row.line}: {row.problem}" for row in rows[:3])
    fix = "Write one JSON object a line, in UTF-8."
    if "UTF-8" in rows[0].problem:
        fix = f"Convert it first: iconv -f LATIN1 -t UTF-8 {source} > converted.jsonl"
    return InputError(Problem(what=f"no row of {source} can be read", why=f"{shown}.", fix=fix, where="--dataset"))


def _unknown_format(row: dict[str, Any], source: str) -> InputError:
    columns = [str(name) for name in row]
    renamed = next((new for old, new in _RENAMES.items() if set(old) <= set(columns)), "")
    if "input_ids" in columns:
        fix = "It is tokenised already; give the text it was made from."
    elif renamed:
        fix = f"Rename the columns to {renamed}."
    else:
        fix = "Name them messages, conversations, prompt and completion, instruction and output, or text."
    why = f"The columns are {', '.join(columns) or 'none'}."
    return InputError(Problem(what=f"{source} is in no known format", why=why, fix=fix, where="--dataset"))
