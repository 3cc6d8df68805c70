"""Configurations of a dataset in one folder: the parts that its publisher keeps apart, and users load one of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

_HEAD_BYTES = 1 << 20
_HEAD = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


def configurations(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Where in the folder each lies that the files belong to, as a path or a pattern; () where they are of one alone.

    The README of a dataset of the hub says which files make one; where it says nothing, each folder with files of its
    own is one.
    """
    names = [file.relative_to(folder).as_posix() for file in files]
    stated = _stated(folder / "README.md")
    found = [next((one for one in patterns if _names(one, names)), "") for patterns in stated.values()]
    if not stated:
        found = list(dict.fromkeys(name.rpartition("/")[0] for name in names))
    places = tuple(place for place in dict.fromkeys(found) if place)
    return places if len(places) > 1 else ()


def _names(pattern: str, names: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) or name.startswith(f"{pattern.rstrip('/')}/") for name in names)


def _stated(readme: Path) -> dict[str, list[str]]:
    """Configuration -> patterns of its files, as the head of a README states them; {} where it does not."""
    try:
        text = readme.read_bytes()[:_HEAD_BYTES].decode("utf-8", "replace")
    except OSError:
        return {}
    head = _HEAD.match(text)
    listed = _head_of(head[1]).get("configs") if head else None
    found: dict[str, list[str]] = {}
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and isinstance(one.get("config_name"), str):
            found.setdefault(one["config_name"], []).extend(_patterns(one.get("data_files")))
    return {name: patterns for name, patterns in found.items() if patterns}


def _head_of(text: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:  # without it the folders tell
        return {}
    try:
        head = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return head if isinstance(head, dict) else {}


def _patterns(value: Any) -> list[str]:
    """The patterns of `data_files`: a text, a list of them, or a list of splits with a path each."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return _patterns(value.get("path", list(value.values())))
    return [pattern for one in value for pattern in _patterns(one)] if isinstance(value, list) else []
