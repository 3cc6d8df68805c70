"""A list of turns as one Example: turns of every style, tools, pictures, and answers that are not to be learnt."""

from __future__ import annotations

from itertools import chain
from typing import Any

from trainers.examples.declared import TOOL_COLUMNS, told_template, tools_of
from trainers.examples.example import Example, RowError
from trainers.examples.parts import content_of, results_apart
from trainers.examples.pictures import IMAGE_COLUMNS, placed
from trainers.examples.turns import (
    CALLING_ROLES,
    CONTENT_KEYS,
    ROLE_KEYS,
    ROLES,
    decoded,
    is_excluded,
    message_of,
)
from trainers.language import tr

_PAIRS = (
    ("input", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("human", "gpt"),
    ("user", "bot"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("query", "response"),
    ("instruction", "output"),
)
"""Keys of a turn that holds both a question and its answer (xtuner, Firefly and others)."""
_PLAIN_ROLES = ("user", "assistant", "system")
PAIR_KEYS = frozenset(key for pair in _PAIRS for key in pair) | {"system"}


def conversation(turns: Any, row: dict[str, Any]) -> Example:
    """The turns with the row's system prompt, tools and pictures. Raises RowError saying what is wrong with them."""
    is_alone = len(row) == 1 and row.keys().isdisjoint(_BESIDE)
    if is_alone and type(turns) is list and _are_plain(turns):
        return Example(tuple(turns))
    turns = unfolded(decoded(turns))
    if not isinstance(turns, list) or not turns:
        raise RowError(tr("no messages"))
    messages: list[dict[str, Any]] = []
    images: list[Any] = []
    excluded: set[int] = set()
    system = "" if is_alone else system_of(row)
    declared: Any = None
    for turn in chain.from_iterable(map(results_apart, turns)):
        message, pictures = message_of(turn)
        if message["role"] == "system" and not declared:
            declared = turn.get("functions") or turn.get("tools")
        if pictures:
            images += pictures
        if "tool_calls" in message and _goes_on_calling(turn, messages):
            messages[-1] = {**messages[-1], "tool_calls": messages[-1]["tool_calls"] + message["tool_calls"]}
            continue
        if not messages and system and message["role"] != "system":
            messages.append({"role": "system", "content": system})
        if message["role"] == "assistant" and len(turn) > 2 and is_excluded(turn):
            excluded.add(len(messages))
        messages.append(message)
    _require_an_answer(messages)
    if is_alone and not images and not declared:
        return Example(tuple(messages), unlearnt=frozenset(excluded))
    beside = pictures_of(row)
    named: list[str] = []
    if images or beside:
        messages, named = placed(messages, images, beside)
    tools = tools_of(row) or tools_of({"tools": declared})
    return Example(
        tuple(messages),
        tools=tools,
        unlearnt=frozenset(excluded),
        images=tuple(named),
    )


def _are_plain(turns: list[Any]) -> bool:
    """Whether each turn is a message as it stands, and one of them an answer; so it is in most rows."""
    is_answered = False
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return False
        role, content = turn.get("role"), turn.get("content")
        if role not in _PLAIN_ROLES or type(content) is not str:
            return False
        is_answered = is_answered or (role == "assistant" and not content.isspace() and content != "")
    return is_answered


def is_turn(value: Any) -> bool:
    """Whether a value looks like one turn with a speaker."""
    return isinstance(value, dict) and any(isinstance(value.get(key), str | dict) for key in ROLE_KEYS)


def is_conversation(value: Any) -> bool:
    """Whether a list is one conversation: turns with a speaker that is known and something said."""
    return isinstance(value, list) and bool(value) and all(_is_known_turn(turn) for turn in value[:4])


def _is_known_turn(value: Any) -> bool:
    if not is_turn(value):
        return False
    said = next((value[key] for key in ROLE_KEYS if isinstance(value.get(key), str)), "")
    return said.strip().lower() in ROLES and (any(key in value for key in CONTENT_KEYS) or "tool_calls" in value)


def is_turn_pair(value: Any) -> bool:
    """Whether a value holds a question and its answer together."""
    return isinstance(value, dict) and any(all(key in value for key in pair) for pair in _PAIRS)


def unfolded(turns: Any) -> Any:
    """Turns with a speaker each: a pair becomes two turns, a list of texts becomes alternate speakers."""
    turns = _only_talk(turns)
    if isinstance(turns, dict):
        turns = turns["messages"] if isinstance(turns.get("messages"), list) else _of_columns(turns)
    if not isinstance(turns, list) or not turns or (type(turns[0]) is dict and type(turns[0].get("role")) is str):
        return turns
    if is_turn(turns[0]):
        return turns
    if len(turns) > 1 and all(isinstance(turn, str) for turn in turns):
        return [_turn(("user", "assistant")[place % 2], text) for place, text in enumerate(turns)]
    made: list[Any] = []
    for turn in turns:
        made += _both(turn)
    return made


def _only_talk(turns: Any) -> Any:
    """The turns of a list that holds one whole conversation; anything else as it is."""
    if type(turns) is list and len(turns) == 1 and isinstance(turns[0], dict):
        held = turns[0].get("messages")
        return held if isinstance(held, list) else turns
    return turns


def listed(turns: Any) -> list[Any]:
    """The turns of a column as they stand there, [] where it holds none: a list, lists side by side, or its JSON."""
    turns = _only_talk(decoded(turns))
    if isinstance(turns, dict):
        opened = unfolded(turns)
        return opened if opened != [turns] else []
    return turns if isinstance(turns, list) else []


def _of_columns(turns: dict[str, Any]) -> list[Any]:
    """Turns that a columnar file keeps as lists side by side: {"role": [...], "content": [...]}; else one turn."""
    lists = {key: value for key, value in turns.items() if isinstance(value, list)}
    sizes = {len(value) for value in lists.values()}
    if len(lists) < 2 or len(lists) < len(turns) or len(sizes) != 1:
        return [turns]
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _both(turn: Any) -> list[Any]:
    if isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn):
        return [_turn("user", turn[0]), _turn("assistant", turn[1])]
    if isinstance(turn, dict) and not is_turn(turn):
        for asked, answered in _PAIRS:
            if asked in turn and answered in turn:
                system = turn.get("system")
                first = [_turn("system", system)] if isinstance(system, str) and system.strip() else []
                # xtuner opens a text without a question with an empty input.
                asks = [_turn("user", turn[asked])] if turn[asked] not in (None, "") else []
                return [*first, *asks, _turn("assistant", turn[answered])]
    return [turn]


def _turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def _goes_on_calling(turn: dict[str, Any], messages: list[dict[str, Any]]) -> bool:
    """Whether a turn is one more of the parallel calls that the turn before it began."""
    said = turn.get("role", turn.get("from"))
    if not isinstance(said, str) or said.lower() not in CALLING_ROLES or not messages:
        return False
    return messages[-1]["role"] == "assistant" and "tool_calls" in messages[-1] and not messages[-1]["content"]


def _require_an_answer(messages: list[dict[str, Any]]) -> None:
    is_empty = False
    for message in messages:
        if message["role"] == "assistant":
            if "tool_calls" in message or message["content"].strip() or "reasoning_content" in message:
                return
            is_empty = True
    raise RowError(tr("every assistant message is empty") if is_empty else tr("no assistant message to learn from"))


SYSTEM_COLUMNS = ("system", "system_prompt", "system_message", "systeminstruction", "system_instruction")
_BESIDE = frozenset({*SYSTEM_COLUMNS, *TOOL_COLUMNS, *IMAGE_COLUMNS})
"""What is said beside the turns; readers of logs hand nothing else over."""
INSTRUCTED = "custom_instructions"
"""What SmolLM3's template calls the system prompt among what it is told beside the messages."""


def system_of(row: dict[str, Any]) -> str:
    """The row's system prompt; "" when it has none."""
    for column in SYSTEM_COLUMNS:
        value = row.get(column)
        if isinstance(value, dict | list):
            value = content_of(value).text
        if isinstance(value, str) and value.strip():
            return value
    told = told_template(row).get(INSTRUCTED)
    return told if isinstance(told, str) and told.strip() else ""


def pictures_of(row: dict[str, Any]) -> list[Any]:
    """Pictures that stand in a column of their own."""
    for column in IMAGE_COLUMNS:
        value = row.get(column)
        if value not in (None, "", [], {}):
            return list(value) if isinstance(value, list) else [value]
    return []
