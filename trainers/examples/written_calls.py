"""Calls of tools that a dataset writes into the words of an answer: `<tool_call>{...}</tool_call>` and others.

As words they are trained in the form of one family, whatever the model's own is, and no one holds them against the
tools that are declared. The forms are those of `parsers`, with what data sets have besides.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from trainers.examples.declared import in_words
from trainers.examples.parsers import FORMS, bare_functions, bare_invocations
from trainers.examples.turns import decoded

Message = dict[str, Any]

MARKS = (
    "<tool_call>", "[TOOL_CALLS]", "<functioncall>", "<function_call>", "<|tool_call|>", "<|python_tag|>",
    "<|tool_call_start|>", "<function=", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<tool_calls>",
    "<function_calls>", "<start_function_call>", "<|tool_calls_section_begin|>", "<|action_start|>",
    "<minimax:tool_call>", "<seed:tool_call>", "<|START_ACTION|>", "<|tool_call>",
)  # fmt: skip
_TAG = r"(?i:(?:tool|function)[_ -]?calls?)"
MARK_PATTERN = rf"{'|'.join(map(re.escape, MARKS))}|<invoke\s+name=|[<\[]{_TAG}[>\]]"
"""The marks, and any tag that says what it holds, however it is written (<TOOLCALL>, <tool-call>)."""
_MARK = re.compile(rf"(?:^|(?<=\n)|(?<=</think>))\s*(?:{MARK_PATTERN})")
_BARE = re.compile(r"\s*(?:(?:\[\s*)?\{\s*\"(?:name|function|tool_name)\"\s*:|\[\w[\w .:/&'-]*\((?:\w+\s*=|\)))")
_SPACED = re.compile(r"(\[|\),\s*)([A-Za-z_][\w .:/&'-]*)\(")
"""A call as Python writes it, of a tool whose name is no name in Python (ToolACE)."""
_FENCE = re.compile(r"\s*```(?:json|python|tool_call)?\s*\n(.*?)\n?```\s*", re.DOTALL)
_TAGGED = re.compile(
    rf"[<\[](?P<tag>{_TAG})[>\]]\s*(?P<call>.*?)\s*(?:[<\[]/(?P=tag)[>\]]|<\|endoftext\|>|$)", re.DOTALL
)
_GLAIVE_QUOTED = re.compile(r"('arguments'|\"arguments\"):\s*'(\{.*\})'\s*\}", re.DOTALL)
_RESULT = re.compile(r"\s*<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_OBSERVED = re.compile(r"\s*(?i:observation|tool (?:result|output))\s*:\s*(.*)", re.DOTALL)


def has_written_call(message: Message) -> bool:
    """Whether an answer holds a call among its words, by the mark before it or by being nothing but a call."""
    if message["role"] != "assistant" or message.get("tool_calls"):
        return False
    text = unfenced(message["content"])
    return bool(_MARK.search(text)) or (bool(_BARE.match(text)) and bool(_calls_in(text)))


def unfenced(text: str) -> str:
    """What stands in an answer that is one block of code and nothing else."""
    found = _FENCE.fullmatch(text)
    return found[1] if found else text


def form_of(message: Message) -> str:
    """The parser whose form the first call among an answer's words has; "" where none reads it."""
    if not has_written_call(message):
        return ""
    text = message["content"]
    return next((form.parser for form in FORMS if _found(form.find, text)), "")


def with_calls(messages: Sequence[Message], tools: Any) -> tuple[list[Message], Any] | None:
    """(messages with real calls and results, tools); None when a call cannot be read.

    Tools that a system message declares become declared ones; where that message also says how calls are to be
    written, it goes, because the model's own template says so.
    """
    made: list[Message] = []
    for message in messages:
        if has_written_call(message):
            text = unfenced(message["content"])
            calls = _calls_in(text)
            if not calls:
                return None
            mark = _MARK.search(text)
            words = text[: mark.start()].strip() if mark else ""
            made.append({**message, "content": words, "tool_calls": _with_ids(calls, len(made))})
        elif message["role"] in ("user", "tool") and (said := _returned(message["content"], made)):
            made += _results(said, made)
        elif message["role"] == "tool" and "tool_call_id" not in message:
            made += _results(_apart(message["content"], len(_waiting(made))), made)
        elif message["role"] == "system" and (found := in_words(message["content"])):
            tools = tools or found[0]
            made += [{**message, "content": found[1]}] if found[1] else []
        else:
            made.append(message)
    return made, tools


def _returned(content: str, made: list[Message]) -> list[str]:
    """The results among the words of a turn: between their tags, or what was observed behind a call that waits."""
    observed = _OBSERVED.fullmatch(content) if _waiting(made) else None
    return [observed[1]] if observed else _RESULT.findall(content)


def _calls_in(text: str) -> list[Message]:
    for found in (_tagged(text), *(_found(form.find, text) for form in FORMS)):
        if found:
            return found
    return _found(_spaced, text) or _found(bare_functions, text) or _found(bare_invocations, text)


def _found(find: Any, text: str) -> list[Message]:
    try:
        return [_call(name, arguments) for name, arguments in find(text)]
    except (ValueError, LookupError, TypeError, AttributeError, SyntaxError, RecursionError):
        return []


def _spaced(text: str) -> Iterator[tuple[str, Any]]:
    """Names and arguments of `[Market Trends(country="us"), ...]`. Raises SyntaxError or ValueError otherwise."""
    names: list[str] = []

    def hidden(found: re.Match[str]) -> str:
        names.append(found[2].strip())
        return f"{found[1]}tool_{len(names) - 1}("

    tree = ast.parse(_SPACED.sub(hidden, text.strip()), mode="eval").body
    calls = tree.elts if isinstance(tree, ast.List) else []
    if [ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)] != [
        f"tool_{number}" for number in range(len(names))
    ]:
        raise ValueError("something that looks like a call stands inside an argument")
    for call, name in zip(calls, names, strict=True):
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("no call with named arguments")
        yield name, {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}


def _tagged(text: str) -> list[Message]:
    """Calls between tags as Python prints them, or in Glaive's form: arguments are JSON in single quotes."""
    made = []
    for found in _TAGGED.finditer(text):
        unquoted = _GLAIVE_QUOTED.sub(r'"arguments": \2}', found["call"])
        held = decoded(unquoted)
        for call in held if isinstance(held, list) else [held]:
            if not isinstance(call, dict):
                return []
            arguments = decoded(call.get("arguments", {}))
            if not isinstance(call.get("name"), str) or not isinstance(arguments, dict):
                return []
            made.append(_call(call["name"], arguments))
    return made


def _call(name: Any, arguments: Any) -> Message:
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise TypeError("no call")
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _with_ids(calls: list[Message], place: int) -> list[Message]:
    return [{**call, "id": f"call_{place}_{number}"} for number, call in enumerate(calls)]


def _results(said: list[str], made: list[Message]) -> Iterator[Message]:
    """Results as turns of their own, each with the id of the call that it stands for."""
    waiting = _waiting(made)
    for number, content in enumerate(said):
        named = {"tool_call_id": waiting[number]} if number < len(waiting) else {}
        yield {"role": "tool", "content": content, **named}


def _apart(content: str, calls: int) -> list[str]:
    """The results of several calls that stand in one list (ToolACE); the content itself for any other number."""
    held = decoded(content)
    is_each = isinstance(held, list) and len(held) == calls > 1
    return [json.dumps(one, ensure_ascii=False) for one in held] if is_each else [content]


def _waiting(made: list[Message]) -> list[str]:
    """Ids of the last calls that have no result yet."""
    for answered, message in enumerate(reversed(made)):
        if message.get("tool_calls"):
            return [call["id"] for call in message["tool_calls"] if call.get("id")][answered:]
        if message["role"] != "tool":
            break
    return []
