"""Rows as services write them out: trees of messages, dialogues in one text, and answers with their history."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from trainers.examples.conversation import conversation
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.turns import decoded
from trainers.examples.written_calls import with_calls
from trainers.language import tr

Row = dict[str, Any]
_MARKS = re.compile(r"^\s*<\|[\w ]+\|>:?\s*|\s*<eo[a-z]>\s*$")
_GLAIVE_TURN = re.compile(r"(?:\A|\n\n+)\s*(USER|ASSISTANT|FUNCTION RESPONSE):")
_BAIZE_TURN = re.compile(r"\[\|(Human|AI)\|\]")
_GLAIVE_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_NOT_SAID = frozenset({"user_editable_context", "model_editable_context", "reasoning_recap", "thoughts"})
"""Kinds of content in ChatGPT's export that are no part of the talk."""


def is_chatgpt(row: Row) -> bool:
    """Whether a row is a conversation of ChatGPT's export: a tree of nodes, one of them the last that was read."""
    return isinstance(row.get("mapping"), dict) and ("current_node" in row or "conversation_id" in row)


def read_chatgpt(row: Row) -> Example:
    """The path from the root to the node that was read last; answers that were asked for again are left out."""
    if not is_chatgpt(row):
        raise RowError(tr("column 'mapping' holds no tree of messages"))
    nodes: dict[str, Any] = row["mapping"]
    place = row.get("current_node")
    if not isinstance(place, str) or place not in nodes:
        place = next(
            (name for name, node in nodes.items() if isinstance(node, dict) and not node.get("children")), ""
        )
    turns: list[Row] = []
    passed: set[str] = set()
    while isinstance(place, str) and place not in passed and isinstance(nodes.get(place), dict):
        passed.add(place)
        turns += _said(nodes[place].get("message"))
        place = nodes[place].get("parent")
    if not turns:
        raise RowError(tr("a conversation in which nothing is said"))
    return conversation(turns[::-1], {})


def _said(message: Any) -> Iterator[Row]:
    """The turn of a node; nothing for one that is empty or hidden. Raises RowError for what is no text."""
    content = message.get("content") if isinstance(message, dict) else None
    author = message.get("author") if isinstance(message, dict) else None
    if not isinstance(content, dict) or not isinstance(author, dict) or content.get("content_type") in _NOT_SAID:
        return
    parts = content.get("parts")
    said = parts if isinstance(parts, list) else [content.get("text") or ""]
    text = "".join(part for part in said if isinstance(part, str))
    is_other = any(not isinstance(part, str) for part in said)
    role = author.get("role")
    if is_other or role == "tool" or message.get("recipient", "all") != "all":
        raise RowExcludedError(
            tr("a conversation with pictures, files or tools, which the export does not hold whole")
        )
    if text.strip():
        yield {"role": role, "content": text}


def is_tree(row: Row) -> bool:
    """Whether a row is a tree of messages in each other (OpenAssistant)."""
    root = row.get("prompt")
    return isinstance(root, dict) and isinstance(root.get("replies"), list) and "text" in root


def read_tree(row: Row) -> Example:
    """From the root along the best ranked reply to each message, else the first."""
    if not is_tree(row):
        raise RowError(tr("column 'prompt' holds no tree of messages"))
    turns: list[Row] = []
    waiting = [row["prompt"]]
    while waiting:
        best = min(waiting, key=_rank)
        if not isinstance(best, dict):
            raise RowError(tr("a reply is no message"))
        turns.append({"role": best.get("role"), "content": best.get("text")})
        replies = best.get("replies")
        waiting = replies if isinstance(replies, list) else []
    return conversation(turns, {})


def _rank(message: Any) -> float:
    rank = message.get("rank") if isinstance(message, dict) else None
    return float(rank) if isinstance(rank, int | float) else float("inf")


def is_cohere(row: Row) -> bool:
    """Whether a row is a message to Cohere's chat with what was said before it, and the answer."""
    return (
        isinstance(row.get("message"), str)
        and isinstance(row.get("text"), str)
        and bool({"chat_history", "preamble"} & row.keys())
    )


def read_cohere(row: Row) -> Example:
    """The preamble, the history, the message and its answer."""
    if not is_cohere(row):
        raise RowError(tr("a message without its answer"))
    history = decoded(row.get("chat_history")) or []
    if not isinstance(history, list):
        raise RowError(tr("no messages"))
    asked, answered = {"role": "user", "content": row["message"]}, {"role": "assistant", "content": row["text"]}
    return conversation([*history, asked, answered], {"system": row.get("preamble"), "tools": row.get("tools")})


def is_moss(row: Row) -> bool:
    """Whether a row is a conversation of MOSS: turns by their numbers, each with marks around its words."""
    turns = row.get("chat")
    first = turns.get("turn_1") if isinstance(turns, dict) else None
    return isinstance(first, dict) and {"Human", "MOSS"} <= first.keys()


def read_moss(row: Row) -> Example:
    """The turns in order. Raises RowExcludedError for one in which a tool is called, in a form of MOSS's own."""
    if not is_moss(row):
        raise RowError(tr("column 'chat' holds no turns of MOSS"))
    turns: list[Row] = []
    for turn in row["chat"].values():
        if not isinstance(turn, dict):
            raise RowError(tr("a turn of 'chat' is no object"))
        if _bare(turn.get("Commands")) not in ("", "None"):
            raise RowExcludedError(tr("a conversation in which MOSS calls tools in a form of its own"))
        turns += [{"role": "user", "content": _bare(turn.get("Human"))}]
        turns += [{"role": "assistant", "content": _bare(turn.get("MOSS"))}]
    return conversation(turns, {**row, "system": row.get("meta_instruction")})


def is_baize(row: Row) -> bool:
    """Whether a row is a conversation of Baize's: one text in which `[|Human|]` and `[|AI|]` take turns."""
    text = row.get("input")
    return isinstance(text, str) and "[|Human|]" in text and "[|AI|]" in text


def read_baize(row: Row) -> Example:
    """The turns, with what stands before the first as the system's; the empty question that closes each text goes."""
    if not is_baize(row):
        raise RowError(tr("column 'input' holds no turns of Baize"))
    system, *said = _BAIZE_TURN.split(row["input"])
    turns = [
        {"role": "user" if who == "Human" else "assistant", "content": words.strip()}
        for who, words in zip(said[::2], said[1::2], strict=True)
    ]
    while turns and turns[-1]["role"] == "user" and not turns[-1]["content"]:
        turns.pop()
    return conversation(turns, {"system": system.strip(), "turns": None})


def is_glaive(row: Row) -> bool:
    """Whether a row is a conversation of Glaive's: one text in which `USER:` and `ASSISTANT:` take turns."""
    chat = row.get("chat")
    return isinstance(chat, str) and chat.lstrip().startswith("USER:") and "ASSISTANT:" in chat


def read_glaive(row: Row) -> Example:
    """The turns with their calls, results and declared functions. Raises RowError for a call that cannot be read."""
    if not is_glaive(row):
        raise RowError(tr("column 'chat' holds no turns of Glaive"))
    said = _GLAIVE_TURN.split(row["chat"])[1:]
    turns = [
        {"role": _GLAIVE_ROLES[who], "content": words.strip().removesuffix("<|endoftext|>").strip()}
        for who, words in zip(said[::2], said[1::2], strict=True)
    ]
    system, tools = _declared_beside(str(row.get("system") or "").strip().removeprefix("SYSTEM:").strip())
    found = with_calls(turns, tools or None)
    if found is None:
        raise RowError(tr("a call of a tool that cannot be read"))
    return conversation(found[0], {"system": system, "tools": found[1]})


def _declared_beside(words: str) -> tuple[str, list[Any]]:
    """(the system's words, the functions that they declare one behind the other); the words that lead to them go."""
    at, tools = words.find("{"), []
    while 0 <= at < len(words):
        try:
            tool, end = json.JSONDecoder().raw_decode(words, at)
        except (ValueError, RecursionError):
            return words, []
        tools.append(tool)
        at = end + len(words[end:]) - len(words[end:].lstrip())
    return ("", tools) if tools else (words, [])


def _bare(said: Any) -> str:
    """The words between the marks: `<|Human|>: ... <eoh>`."""
    return _MARKS.sub("", said).strip() if isinstance(said, str) else ""
