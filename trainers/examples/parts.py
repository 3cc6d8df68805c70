"""The content of one turn, in whatever dialect its parts are written, as text, reasoning, calls and pictures."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from trainers.examples.example import RowError
from trainers.examples.slots import SLOT
from trainers.language import tr

TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
REASONING_PARTS = frozenset({"reasoning", "thinking", "reasoning_content"})
IMAGE_PARTS = frozenset({"image", "image_url", "input_image", "image_path"})
_HEARD_OR_FILMED = frozenset({"audio", "input_audio", "audio_url", "video", "video_url", "input_video"})
CALL_PARTS = frozenset({"tool_use", "tool_call", "function_call"})
RESULT_PARTS = frozenset({"tool_result", "tool_response", "function_call_output"})
_TEXT_KEYS = ("text", "value", "content", "thinking", "reasoning", "output")
_IMAGE_KEYS = ("image_url", "image", "image_path", "path", "url", "value", "source")


class Content(msgspec.Struct):
    """What one turn holds."""

    text: str | None = None
    """None when the turn says nothing at all, not even an empty text."""
    reasoning: str = ""
    calls: list[dict[str, Any]] = []
    images: list[Any] = []
    """Pictures, in the order of their slots in the text; None for a part that names none."""
    is_result: bool = False
    """Whether it is what a tool returned."""
    result_of: str = ""
    """Id of the call that the turn answers, where a part says so."""


def content_of(value: Any) -> Content:
    """The content of a turn. Raises RowError for what is neither text nor known parts."""
    if value is None or isinstance(value, str):
        return Content(text=value)
    if isinstance(value, bool | int | float):
        raise RowError(tr("content is a {kind}; only text can be trained on", kind=type(value).__name__))
    if isinstance(value, dict):
        parts = value.get("parts")
        value = parts if isinstance(parts, list) else [value]
    if isinstance(value, list) and len(value) > 1 and all(isinstance(part, str) for part in value):
        raise RowError(
            tr("content is a list of {num_value} texts, and nothing says which is meant", num_value=len(value))
        )
    found, said = Content(), []
    for part in value:
        text = _part(part, found)
        if text is not None:
            said.append(text)
    if said or not (found.calls or found.reasoning):
        found.text = "".join(said)
    return found


def _part(part: Any, found: Content) -> str | None:
    """Sorts one part into `found`; gives its text when it is one."""
    if part is None or isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise RowError(tr("a part of the content is a {kind}, neither text nor an object", kind=type(part).__name__))
    part = _typed(part)
    kind = part.get("type", "text" if "text" in part else None)
    kind = kind if isinstance(kind, str) else None
    if kind in TEXT_PARTS:
        return part_text(part)
    if kind in REASONING_PARTS:
        found.reasoning += part_text(part)
    elif kind in IMAGE_PARTS:
        found.images.append(next((part[key] for key in _IMAGE_KEYS if part.get(key)), None))
        return SLOT
    elif kind in CALL_PARTS:
        found.calls.append(_call_part(part))
    elif kind in RESULT_PARTS:
        found.is_result = True
        found.result_of = str(part.get("tool_use_id") or part.get("call_id") or "")
        inner = part.get("content", part.get("output"))
        if isinstance(inner, bool | int | float):
            return str(inner)
        returned = content_of(inner)
        found.images += returned.images
        return returned.text
    elif kind in _HEARD_OR_FILMED:
        raise RowError(tr("a part of type {kind!r}: sounds and films cannot be trained on yet", kind=kind))
    else:
        raise RowError(
            tr("a part of type {kind!r}: only text, reasoning, calls and pictures are known", kind=str(kind)[:40])
        )
    return None


_TYPES = {
    **dict.fromkeys(("functionCall", "function_call", "toolUse"), "tool_use"),
    **dict.fromkeys(("functionResponse", "function_response", "toolResult"), "tool_result"),
}
"""Keys by which Gemini's and Bedrock's parts say what they are -> the type that others write."""


def _typed(part: dict[str, Any]) -> dict[str, Any]:
    """A part that says what it is by its only key, as one with a type; any other part as it is."""
    if "type" in part:
        return part
    if part.get("thought") is True and isinstance(part.get("text"), str):
        return {"type": "thinking", "text": part["text"]}
    if isinstance(part.get("reasoningContent"), dict):
        held = part["reasoningContent"].get("reasoningText")
        # What Bedrock has redacted nobody can read.
        return {"type": "thinking", "text": held["text"] if _says(held) else ""}
    for key, kind in _TYPES.items():
        held = part.get(key)
        if isinstance(held, dict):
            returned = held.get("content", held.get("response"))
            if isinstance(returned, dict) or (isinstance(returned, list) and not all(map(_says, returned))):
                returned = json.dumps(returned, ensure_ascii=False, default=str)
            about = {"id": held.get("toolUseId") or held.get("id"), "tool_use_id": held.get("toolUseId")}
            return {"type": kind, **held, **about, "content": returned}
    return part


def _says(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def results_apart(turn: Any) -> list[Any]:
    """A turn of which parts are results of tools as one turn for each of them, and one for what else it holds."""
    content = turn.get("content", turn.get("parts")) if type(turn) is dict else None
    if type(content) is not list or len(content) < 2:
        return [turn]
    is_result = [isinstance(one, dict) and _typed(one).get("type") in RESULT_PARTS for one in content]
    if not any(is_result):
        return [turn]
    bare = {key: value for key, value in turn.items() if key not in ("content", "parts")}
    results = [{**bare, "content": [one]} for one, given in zip(content, is_result, strict=True) if given]
    rest = [one for one, given in zip(content, is_result, strict=True) if not given]
    return [*results, *([{**bare, "content": rest}] if rest else [])]


def part_text(part: dict[str, Any]) -> str:
    """The text of a part under any of its usual keys. Raises RowError when it has none."""
    for key in _TEXT_KEYS:
        held = part.get(key)
        if isinstance(held, str):
            return held
        if isinstance(held, list) and held and all(map(_says, held)):  # Mistral's thoughts are parts themselves
            return "".join(one["text"] for one in held)
    if any(key in part and part[key] is None for key in _TEXT_KEYS):
        return ""
    raise RowError(tr("a text part holds no text; its keys are {part}", part=", ".join(map(str, part))))


def _call_part(part: dict[str, Any]) -> dict[str, Any]:
    value = part.get("value")
    named: dict[str, Any] = value if isinstance(value, dict) else part
    if isinstance(value, str):
        return {"text": value}
    arguments = named.get("input", named.get("arguments", named.get("args")))
    return {"id": part.get("id") or part.get("call_id"), "name": named.get("name"), "arguments": arguments}
