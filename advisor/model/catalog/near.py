"""Names that stand near one that is not known: of the same family and a like size, newest first; closed models."""

from __future__ import annotations

import difflib
import math
import re
from functools import cache
from pathlib import Path

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.catalog import entries, short_name
from advisor.model.catalog.names import read_name

_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d{1,6}(?:\.\d{1,6})?)\s*([bm])(?![a-z])")
_WORD = re.compile(r"[a-z]{2,}")
_NO_FAMILY = frozenset(
    (
        *("instruct", "chat", "base", "model", "the", "and", "text", "lora", "fine", "tuned", "latest", "llm", "ai"),
        *("it", "hf", "pt", "bf"),
    )
)
"""Words of a name that say nothing of its family."""
_CLOSE = 0.8


class Closed(msgspec.Struct, frozen=True):
    """Models that only their maker can run."""

    pattern: str
    maker: str
    use: str
    open: list[str]


class ClosedModels(msgspec.Struct, frozen=True):
    """The file closed.toml."""

    owners: list[str]
    model: list[Closed]


def closed_model(text: str) -> InputError | None:
    """Why a model cannot be fine-tuned here whose weights are not published; None for any other name."""
    typed = read_name(text)
    if typed.owner and typed.owner not in _closed().owners:
        return None
    name = re.sub(r"[\s_]+", "-", typed.address.rpartition("/")[2].lower().replace(":", "-"))
    for one in _closed().model:
        if re.search(one.pattern, name):
            why = tr("Its weights are not published; only {maker} can run or tune it.", maker=one.maker)
            fix = tr("Open models for the same use ({use}): {open}.", use=one.use, open=", ".join(one.open))
            return InputError(
                Problem(what=tr("'{text}' is a closed model", text=text), why=why, fix=fix, where="--model")
            )
    return None


def near_names(text: str, count: int = 3) -> list[str]:
    """Catalogue models of the same family as `text` seems to be, of the nearest size first, then the newest; where no
    family is recognised those of the nearest size that read text alone, and [] without a size."""
    name = read_name(text).name.lower().replace("_", "-")
    wanted, size = _words(name), _size(name)
    ranked = []
    for slug, entry in entries().items():
        if "(" in entry.hub:
            continue
        known = short_name(entry.hub).lower()
        likeness = _likeness(wanted, _words(known))
        far = abs(math.log2(entry.params / size)) if size else 0.0
        whole = difflib.SequenceMatcher(None, name, known).ratio() if likeness else 0.0
        ranked.append((likeness, -round(far, 1), whole, entry.released, slug, entry))
    best = max((row[0] for row in ranked), default=0.0)
    if not best and not size:
        return []
    close = [row for row in ranked if row[0] >= best - 0.05]  # a typing error matches no two names equally well
    close = close if best else [row for row in close if b'"vision_config"' not in bytes(row[5].config)]
    close.sort(key=lambda row: row[4])
    close.sort(key=lambda row: row[1:4], reverse=True)
    return [short_name(row[5].hub) for row in close[:count]]


def _words(name: str) -> list[str]:
    return [word for word in _WORD.findall(name) if word not in _NO_FAMILY]


def _likeness(wanted: list[str], known: list[str]) -> float:
    """How many of the words are among the known ones, spelling forgiven: 0 to 1. The first word, which says the
    family, counts double."""
    close = [max((difflib.SequenceMatcher(None, one, other).ratio() for other in known), default=0) for one in wanted]
    kept = [ratio if ratio >= _CLOSE else 0.0 for ratio in close]
    share = (sum(kept) + kept[0]) / (len(kept) + 1) if kept else 0.0
    return share if share > 0.5 else 0.0


def _size(name: str) -> float:
    found = _SIZE.search(name.replace("-", " "))
    return float(found[1]) * (1e9 if found[2] == "b" else 1e6) if found else 0.0


@cache
def _closed() -> ClosedModels:
    return msgspec.toml.decode(Path(__file__).with_name("closed.toml").read_bytes(), type=ClosedModels)
