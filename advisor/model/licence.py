"""Which licences keep some use back, as the card beside a model or dataset names them."""

from __future__ import annotations

import re
from pathlib import Path

from advisor.model.hub import cached_file
from trainers.foreign.files import CONFIG_BYTES, read_small_file
from trainers.foreign.text import comment
from trainers.paths import find_local

CARD = "README.md"
_KEPT_BACK = re.compile(
    r"Attribution-NonCommercial|non-?commercial (?:use|purposes?|research) only"
    r"|(?:research|evaluation) (?:use|purposes?) only"
    r"|solely for (?:non-?commercial|research|academic)|not for commercial use",
    re.IGNORECASE,
)
"""What licences say that keep some use back; open ones speak of commercial use to allow it."""
_NAMED = re.compile(
    r"^licen[sc]es?(?:_name)?:[ \t]*\[?(?:\r?\n?[ \t]*-[ \t]*)?[\"']?([^\s\"'#\],]+)", re.MULTILINE | re.IGNORECASE
)
_LIMITED = re.compile(
    r"(?:^|[-_])(?:nc|noncommercial|non-commercial|non-production|research|academic)(?:[-_.]|$)"
    r"|^mrl\b|^mnpl\b",  # Mistral's research and non-production licences, under the names that its cards give
    re.IGNORECASE,
)


def limited_licence(folder: Path) -> str | None:
    """The licence that the card in this folder names, or the text beside it says, when it keeps some use back."""
    return _limited(folder / CARD) or next(filter(None, map(_says_so, sorted(folder.glob("LICEN[CS]E*")))), None)


def _says_so(file: Path) -> str | None:
    try:
        found = _KEPT_BACK.search(read_small_file(file, CONFIG_BYTES).decode(errors="replace"))
    except OSError:
        return None
    return f"{file.name}: {comment(found.group())}" if found else None


def limited_licence_of(model: str) -> str | None:
    """The same for a model as it is named: a folder, or a hub id whose card was downloaded before."""
    local = find_local(model) if model.strip() else None
    if local is not None:
        return limited_licence(local) if local.is_dir() else None
    card = cached_file(model, CARD) if model.count("/") == 1 else None
    return _limited(card) if card else None


def _limited(card: Path) -> str | None:
    try:
        text = read_small_file(card, CONFIG_BYTES).decode(errors="replace")
    except OSError:
        return None
    named: list[str] = _NAMED.findall(text.partition("\n---")[0])
    return next((name for name in reversed(named) if is_limited(name)), None)


def is_limited(licence: str) -> bool:
    """Whether a licence of this name keeps some use back."""
    return bool(_LIMITED.search(licence))
