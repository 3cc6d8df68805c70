"""Which licences keep some use back, as the card beside a model or dataset names them."""

from __future__ import annotations

import re
from pathlib import Path

from advisor.base.errors import InputError
from advisor.base.language import tr
from advisor.model.catalog import entries, find
from advisor.model.hub import cached_file
from trainers.foreign.files import CONFIG_BYTES, json_object, read_small_file
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
_BASE = re.compile(
    r"^base_model:[ \t]*\[?(?:\r?\n?[ \t]*-[ \t]*)?[\"']?([^\s\"'#\],]+)", re.MULTILINE | re.IGNORECASE
)
_LIMITED = re.compile(
    r"(?:^|[-_])(?:nc|noncommercial|non-commercial|non-production|research|academic)(?:[-_.]|$)"
    r"|^mrl\b|^mnpl\b",  # Mistral's research and non-production licences, under the names that its cards give
    re.IGNORECASE,
)


def limited_licence(folder: Path) -> str | None:
    """The licence that keeps some use back: of this folder's card, of a text beside it, or of what it builds on."""
    texts = map(_says_so, sorted(folder.glob("LICEN[CS]E*")))
    return _limited(folder / CARD) or next(filter(None, texts), None) or _inherited(folder)


def _inherited(folder: Path) -> str | None:
    """That of a known base model, whatever licence the one who trained it further has put on the result."""
    adapter = json_object(folder / "adapter_config.json", CONFIG_BYTES) or {}
    bases = [*_BASE.findall(_front_matter(folder / CARD)), str(adapter.get("base_model_name_or_path", ""))]
    for base in filter(None, bases):
        found = _catalogued(base)
        if found and is_limited(found):
            return tr("{licence}, of {base}", licence=found, base=comment(base))
    return None


def _catalogued(base: str) -> str | None:
    try:
        found = find(base)
    except InputError:  # a name that fits several
        return None
    return entries()[found.slug].licence if found else None


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
    named: list[str] = _NAMED.findall(_front_matter(card))
    return next((name for name in reversed(named) if is_limited(name)), None)


def _front_matter(card: Path) -> str:
    try:
        return read_small_file(card, CONFIG_BYTES).decode(errors="replace").partition("\n---")[0]
    except OSError:
        return ""


def is_limited(licence: str) -> bool:
    """Whether a licence of this name keeps some use back."""
    return bool(_LIMITED.search(licence))
