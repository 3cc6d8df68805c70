"""Pictures of a row: where each stands among the words, and what names it.

Published sets write them in many ways: parts of a turn, a column beside the turns, a mark among the words (`<image>`)
for each entry of that column, or a column and no mark at all. All become one form: SLOT in the words of a message for
each picture, and the pictures in the order of their slots, each as text: a path, an address, or a `data:` URI.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

from trainers.examples.example import RowError
from trainers.examples.slots import SLOT
from trainers.language import tr

IMAGE_COLUMNS = ("images", "image")
MARKS = (
    r"<image>|<image_\d+>|<img>|<\|image_?\d*\|>|<\|vision_start\|>(?:<\|image_pad\|>)+<\|vision_end\|>|<\|image_pad\|>"
    r"|\[IMG\]|<start_of_image>|<ImageHere>|<\|vision_start\|>"
)
"""What datasets and families write among the words where a picture stands."""
_MARK = re.compile(MARKS)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_SHORTEST_BASE64 = 200
"""Characters: no path without a dot is that long, and no picture's file that short."""
_NAMING_KEYS = ("url", "image_url", "path", "image", "image_path", "file_name", "value")

Message = dict[str, Any]


def placed(
    messages: Sequence[Message], said: Sequence[Any], beside: Sequence[Any]
) -> tuple[list[Message], list[str]]:
    """The messages with a slot for each picture, and what names them, in the order of the slots.

    `said` are the pictures that parts of turns brought, whose slots stand already; None for a part that names none.
    `beside` are those of the row's own column. Raises RowError where marks and pictures differ in number, where a
    picture stands in an answer, or where nothing names one.
    """
    messages = list(messages)
    if not said:
        messages = _marked(messages, len(beside))
        found = list(beside)
    else:
        found = _filled(list(said), list(beside))
    if any(SLOT in message["content"] for message in messages if message["role"] == "assistant"):
        raise RowError(tr("an answer holds a picture, and only text is learnt"))
    slots = sum(message["content"].count(SLOT) for message in messages)
    if slots != len(found):
        raise _unlike(slots, len(found))
    return messages, [reference(picture) for picture in found]


def in_turn(text: str, pictures: int) -> str:
    """The words of a turn that brings its pictures in a key of its own: slots at its marks, else before the words."""
    marks = len(_MARK.findall(text))
    if marks == pictures:
        return _MARK.sub(SLOT, text)
    if marks:
        raise _unlike(marks, pictures)
    return SLOT * pictures + text


def reference(picture: Any) -> str:
    """What names a picture, as text: its path or address, or a `data:` URI that holds its file.

    Raises RowError for what is none of them.
    """
    if isinstance(picture, dict):
        held = picture.get("bytes") or picture.get("data")
        if isinstance(held, bytes):
            return _written(held)
        if isinstance(held, str) and held:
            return held if held.startswith("data:") else f"data:;base64,{held}"
        named = next((picture[key] for key in _NAMING_KEYS if picture.get(key)), None)
        if named is None:
            raise RowError(tr("a picture is named by nothing: neither path nor bytes"))
        return reference(named)
    if isinstance(picture, bytes):
        return _written(picture)
    if isinstance(picture, str) and picture.strip():
        is_bare = len(picture) >= _SHORTEST_BASE64 and _BASE64.fullmatch(picture)
        return f"data:;base64,{picture}" if is_bare else picture
    raise RowError(tr("a picture is a {kind}, neither path nor bytes", kind=type(picture).__name__))


def is_address(named: str) -> bool:
    """Whether a picture would have to be fetched from the network."""
    return named.startswith(("http://", "https://", "s3://", "gs://", "hf://"))


def is_held(named: str) -> bool:
    """Whether the row holds the file itself."""
    return named.startswith("data:")


def _written(held: bytes) -> str:
    return f"data:;base64,{base64.b64encode(held).decode('ascii')}"


def _marked(messages: list[Message], pictures: int) -> list[Message]:
    """The messages with their marks turned into slots, or slots before the first question where there is no mark."""
    marks = sum(len(_MARK.findall(message["content"])) for message in messages if message["role"] != "assistant")
    if marks == pictures:
        return [_with(message, _MARK.sub(SLOT, message["content"])) for message in messages]
    if marks:
        raise _unlike(marks, pictures)
    first = next((place for place, message in enumerate(messages) if message["role"] == "user"), None)
    if first is None:
        raise RowError(tr("the row brings a picture, and no question that it could stand in"))
    asked = messages[first]
    return [*messages[:first], _with(asked, SLOT * pictures + asked["content"]), *messages[first + 1 :]]


def _with(message: Message, text: str) -> Message:
    return message if message["role"] == "assistant" else {**message, "content": text}


def _filled(said: list[Any], beside: list[Any]) -> list[Any]:
    """The pictures of parts, those that name none filled from the row's column in order."""
    unnamed = sum(picture is None for picture in said)
    if not unnamed and beside and list(map(reference, beside)) != list(map(reference, said)):
        raise _unlike(len(said), len(said) + len(beside))
    if unnamed and unnamed != len(beside):
        raise _unlike(unnamed, len(beside))
    rest = iter(beside)
    return [next(rest) if picture is None else picture for picture in said] if unnamed else said


def _unlike(marks: int, pictures: int) -> RowError:
    return RowError(
        tr("it speaks of {marks} pictures and brings {pictures}", marks=f"{marks:,}", pictures=f"{pictures:,}")
    )
