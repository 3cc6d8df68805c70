"""Signs in text and file names that all kinds of input share. Each check gives a phrase, or None for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from advisor.language import tr
from trainers.foreign.text import brief, comment

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".msgpack.pkl")
PROGRAMS = (".py", ".sh", ".so", ".dll", ".exe", ".ipynb", ".bat", ".ps1")
# What a terminal obeys, what turns text around, and letters that nobody sees and a tokenizer reads. Marks that
# languages written from right to left need, and C1 bytes that old encodings left in everyday text, are none of them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\x90\x9b\x9d-\x9f\u202a-\u202e\u2066-\u2069\u2060-\u2064\U000e0000-\U000e007f]"
)
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bhf_[A-Za-z0-9]{30,}|\bsk-[A-Za-z0-9_-]{32,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}"
)
_PRIVATE = re.compile(r"(?:/home/|/Users/|/root/|[A-Z]:\\\\?Users\\\\?|\\\\\\\\)[^\s\"']+")
MOST_NAMED = 3


def hidden_text(text: str) -> str | None:
    """Characters that are obeyed or not seen; tab and line ends are none."""
    found = _HIDDEN.search(text)
    if found is None:
        return None
    around = text[max(0, found.start() - 12) : found.end() + 12]
    return "".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in around)


def secret(text: str) -> str | None:
    """A key or token that opens something; its beginning only."""
    found = _SECRET.search(text)
    return f"{found.group()[:8]}..." if found else None


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
    found = [(place, check(text)) for place, text in strings(value)]
    return [f"{name} {comment(place)[:60]}: {said}" for place, said in found if said]


def files_ending(folder: Path, endings: tuple[str, ...]) -> list[str]:
    """Names of the files of a folder, and of the folders in it, that end so."""
    names = (*folder.glob("*"), *folder.glob("*/*"), *folder.glob("*/*/*"))
    return sorted(str(path.relative_to(folder)) for path in names if path.suffix.lower() in endings)


def leading_out(folder: Path) -> list[str]:
    """Links of a folder that lead out of it. A hub cache links into its own blobs, which is no way out."""
    root = folder.resolve()
    homes = [root, root.parent.parent / "blobs"]
    links = [path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.is_symlink()]
    return sorted(
        f"{path.relative_to(folder)} -> {path.readlink()}"
        for path in links
        if not any(path.resolve().is_relative_to(home) for home in homes)
    )


def named(found: list[str]) -> str | None:
    """The first few as one phrase; None for none."""
    if not found:
        return None
    more = tr(", and {num_found:,} more", num_found=len(found) - MOST_NAMED) if len(found) > MOST_NAMED else ""
    return "; ".join(comment(one) for one in found[:MOST_NAMED]) + more
