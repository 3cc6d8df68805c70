"""Items of OpenAI's Responses interface as turns: messages, reasoning, calls and what they returned."""

from __future__ import annotations

from typing import Any

from trainers.examples.parts import part_text

Row = dict[str, Any]
_KEYS = ("role", "content", "tool_calls", "reasoning_content")
_KINDS = frozenset({"message", "reasoning", "function_call", "function_call_output"})


def turns_of_items(items: list[Row]) -> list[Row] | None:
    """The turns that the items stand for; None where one of them is of another kind."""
    if not are_items(items):
        return None
    kinds = list(map(_kind, items))
    turns: list[Row] = []
    thought = ""
    for item, kind in zip(items, kinds, strict=True):
        if kind == "reasoning":
            thought += _thought(item)
        elif kind == "function_call_output":
            turns.append({"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")})
        else:
            turn = {"role": "assistant", "content": "", "tool_calls": [_call(item)]} if kind != "message" else item
            is_answer = turn.get("role") == "assistant" and thought
            turns.append(_message({**turn, "reasoning_content": thought} if is_answer else turn))
            thought = "" if is_answer else thought
    return turns or None


def are_items(values: list[Any]) -> bool:
    """Whether each of the values is an item."""
    return all(isinstance(value, dict) and _kind(value) in _KINDS for value in values)


def _kind(item: Row) -> str:
    return str(item.get("type", "message" if "role" in item else ""))


def _message(turn: Row) -> Row:
    return {key: value for key, value in turn.items() if key in _KEYS}


def _call(item: Row) -> Row:
    return {"name": item.get("name"), "arguments": item.get("arguments"), "id": item.get("call_id")}


def _thought(item: Row) -> str:
    parts = item.get("content") or item.get("summary") or []
    return "\n\n".join(part_text(part) for part in parts if isinstance(part, dict))
