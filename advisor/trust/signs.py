"""Signs in text and file names that all kinds of input share. Each check gives a phrase, or None for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PureWindowsPath
from typing import Any

from advisor.base.language import tr
from advisor.data.leaks.secrets import secrets_in
from trainers.foreign.text import brief, comment

# What a terminal obeys, what turns text around, and letters that nobody sees and a tokenizer reads. Marks that
# languages written from right to left need, and C1 bytes that old encodings left in everyday text, are none of them.
# Runs of marks of no width spell out letters of their own: real text holds a few side by side at most.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\x90\x9b\x9d-\x9f\u202a-\u202e\u2066-\u2069\u2060-\u2064\U000e0000-\U000e007f]"
    "|[\u200b-\u200d\ufeff]{5,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}"
)
_PRIVATE = re.compile(r"(?:/home/|/Users/|/root/|[A-Z]:\\\\?Users\\\\?|\\\\[\w.-]+\\)[^\s\"']+")
_NAMES_A_FILE = re.compile(
    r"(?:image|picture|audio|video|media|file)s?(?:_?(?:path|file|name|url))?s?|path", re.IGNORECASE
)
"""Keys of rows under which a file is named that a trainer would open."""
MOST_HIDDEN = 4
MOST_NAMED = 3


def hidden_text(text: str) -> str | None:
    """Characters that are obeyed or not seen; tab and line ends are none."""
    found = _HIDDEN.search(text)
    if found is None:
        return None
    before, after = text[max(0, found.start() - 12) : found.start()], text[found.end() : found.end() + 12]
    hidden = "".join(f"U+{ord(letter):04X}" for letter in found.group()[:MOST_HIDDEN])
    return f"{_visible(before)}{hidden}{_visible(after)}"


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in text)


def secret(text: str) -> str | None:
    """A key or token that opens something; its beginning only. Placeholders and examples are none."""
    found = secrets_in(text)
    return f"{found[0].name} {found[0].shown}" if found else None


def private_path(text: str) -> str | None:
    """A path of somebody's machine, which tells who works there."""
    found = _PRIVATE.search(text)
    return brief(comment(found.group())) if found else None


def strings(value: Any, where: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    """(place, text) of every text in a decoded document, keys too."""
    if isinstance(value, str):
        yield where, value
    elif depth > 20:
        return
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield where, str(key)
            yield from strings(one, f"{where}.{key}" if where else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one, where, depth + 1)


def in_strings(check: Callable[[str], str | None], value: Any, name: str) -> list[str]:
    """`NAME PLACE: PHRASE` for every text in which a check finds something."""
    texts = list(strings(value))
    if not check("\n".join(text for _, text in texts)):  # most hold nothing, and some hold millions of texts
        return []
    found = [(place, check(text)) for place, text in texts]
    return [f"{name} {comment(place)[:60]}: {said}" for place, said in found if said]


def ways_out(value: Any, name: str) -> list[str]:
    """`NAME PLACE: PATH` for every picture, sound or file that a row names outside of the folder of its data."""
    return [
        f"{name} {comment(place)[:60]}: {brief(comment(text))}"
        for place, text in strings(value)
        if _NAMES_A_FILE.fullmatch(place.rpartition(".")[2]) and leads_out(text.removeprefix("file://"))
    ]


def leads_out(path: str) -> bool:
    """Whether a path, of this system or of Windows, leads out of the folder that it is said in."""
    parts = PureWindowsPath(path)
    return path.startswith(("/", "~")) or ".." in parts.parts or bool(parts.anchor)


class Named:
    """Findings of which there may be millions: the first few, and how many there were."""

    def __init__(self, found: Iterable[str] = ()) -> None:
        self._first: list[str] = []
        self._count = 0
        self.add(found)

    def add(self, found: Iterable[str]) -> None:
        """More of them."""
        for one in found:
            self._count += 1
            if self._count <= MOST_NAMED:
                self._first.append(comment(one))

    def phrase(self) -> str | None:
        """The first few as one phrase; None for none."""
        more = self._count - MOST_NAMED
        return "; ".join(self._first) + (tr(", and {num_found:,} more", num_found=more) if more > 0 else "") or None


def named(found: Iterable[str]) -> str | None:
    """The first few as one phrase; None for none."""
    return Named(found).phrase()
