"""What one row means: every accepted format brought to one of two shapes, with the roles fixed.

    {"messages": [{"role": ..., "content": ...}, ...], "tools": [...]}   a conversation
    {"text": "..."}                                                       plain text

TRL leaves ShareGPT roles as they are, and stock templates then render nothing: so it is done here, once, for all.
"""

from __future__ import annotations

import json
from typing import Any

from trainers.errors import PlanRefused
from trainers.plan import DatasetFormat

Example = dict[str, Any]

ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
"""Names of speakers met in published datasets -> the four roles that chat templates know."""

ANSWER_COLUMNS = ("output", "response", "completion", "answer")


class RowError(ValueError):
    """One row that cannot be used; the message says what is wrong with it."""


def format_of(row: dict[str, Any]) -> DatasetFormat | None:
    """The format that a row's columns show, or None. Looked up on the first readable row of a dataset."""
    if isinstance(row.get("messages"), (list, str)) and row["messages"]:
        return "sharegpt" if _speaks_from(row["messages"]) else "messages"
    if isinstance(row.get("conversations"), (list, str)) and row["conversations"]:
        return "sharegpt" if _speaks_from(row["conversations"]) else "messages"
    if "prompt" in row and "completion" in row:
        return "prompt_completion"
    if "instruction" in row and any(name in row for name in ANSWER_COLUMNS):
        return "alpaca"
    return "text" if isinstance(row.get("text"), str) else None


def _speaks_from(turns: Any) -> bool:
    turns = _decoded(turns)
    return bool(turns) and isinstance(turns[0], dict) and "from" in turns[0]


def normalise(row: dict[str, Any], kind: DatasetFormat) -> Example:
    """One row in one of the two shapes. Raises RowError saying what is wrong with it."""
    if kind == "text":
        return {"text": _text(row, "text")}
    if kind in ("messages", "sharegpt"):
        turns = row.get("messages") if row.get("messages") is not None else row.get("conversations")
        return _conversation(_decoded(turns), row)
    if kind == "prompt_completion":
        return _prompt_completion(row)
    return _alpaca(row)


def _prompt_completion(row: dict[str, Any]) -> Example:
    prompt, completion = _decoded(row.get("prompt")), _decoded(row.get("completion"))
    if _is_conversation(prompt) and _is_conversation(completion):
        return _conversation([*prompt, *completion], row)
    return _pair(None, _text(row, "prompt"), _text(row, "completion"))


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "role" in v for v in value)


def _alpaca(row: dict[str, Any]) -> Example:
    answer = next((name for name in ANSWER_COLUMNS if row.get(name)), ANSWER_COLUMNS[0])
    question = _text(row, "instruction")
    more = row.get("input")
    if isinstance(more, str) and more.strip():
        question = f"{question}\n\n{more}"
    system = row.get("system")
    return _pair(system if isinstance(system, str) and system.strip() else None, question, _text(row, answer))


def _pair(system: str | None, question: str, answer: str) -> Example:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise RowError(f"column {column!r} is {'missing' if value is None else type(value).__name__}, not text")
    if not value.strip():
        raise RowError(f"column {column!r} is empty")
    return value


def _conversation(turns: Any, row: dict[str, Any]) -> Example:
    if not isinstance(turns, list) or not turns:
        raise RowError("no messages")
    messages = [_message(turn) for turn in turns]
    if isinstance(row.get("system"), str) and row["system"].strip() and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": row["system"]})
    if not any(m["role"] == "assistant" and (m["content"].strip() or m.get("tool_calls")) for m in messages):
        raise RowError("no assistant message to learn from")
    tools = _decoded(row.get("tools"))
    return {"messages": messages, "tools": tools} if tools else {"messages": messages}


def _message(turn: Any) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise RowError(f"a message is a {type(turn).__name__}, not an object with role and content")
    said = turn.get("role", turn.get("from"))
    role = ROLES.get(str(said).lower())
    if role is None:
        raise RowError(f"unknown role {said!r} (known: {', '.join(sorted(ROLES))})")
    content = _content(turn.get("content", turn.get("value")))
    calls = [_tool_call(call) for call in _decoded(turn.get("tool_calls")) or []]
    if content is None and not calls:
        raise RowError(f"a message of {role!r} has no content")
    message: dict[str, Any] = {"role": role, "content": content or ""}
    if calls:
        message["tool_calls"] = calls
    if isinstance(turn.get("name"), str):
        message["name"] = turn["name"]
    return message


def _content(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        return "".join(part.get("text", "") for part in value)
    raise RowError(f"content is a {type(value).__name__}; only text can be trained on")


def _tool_call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError("a tool call has no function name")
    # Templates render arguments with `tojson`; text would come out quoted twice.
    arguments = _decoded(function.get("arguments")) or {}
    return {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _decoded(value: Any) -> Any:
    """Lists and objects that a flat file had to write as JSON text; everything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def require_format(kind: DatasetFormat | None, columns: list[str], source: str) -> DatasetFormat:
    """`kind`, or PlanRefused with the columns that were found instead."""
    if kind is None:
        raise PlanRefused(
            f"the examples in {source} are in no known format",
            why=f"the columns are {', '.join(columns) or 'none'}",
            fix="name them messages, conversations, prompt + completion, instruction + output, or text",
        )
    return kind
