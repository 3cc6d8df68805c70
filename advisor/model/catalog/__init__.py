"""The bundled catalogue: configs of well-known models by name, so that advice needs no download.

models.json holds for each model its hub id, other hub ids of the same shape (chat versions, quantised copies), its
exact parameter count and its config.json.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from advisor.errors import InputError, Problem
from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One shape of the catalogue."""

    hub: str
    params: int
    config: msgspec.Raw
    names: tuple[str, ...] = ()
    quantized_names: tuple[str, ...] = ()
    """Hub ids of the same shape whose weights are quantised already."""
    note: str = ""


@cache
def entries() -> dict[str, Entry]:
    """All entries by their short name."""
    return msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes(), type=dict[str, Entry])


def catalog_names() -> list[str]:
    """The name of each entry as it is usually written ("Llama-3.1-8B"), sorted."""
    return sorted((entry.hub.rpartition("/")[2] for entry in entries().values()), key=str.lower)


def from_catalog(text: str) -> ModelSpec | None:
    """The model that a name means, or None when the catalogue does not have it.

    Accepts a hub id, its last part, or a loose form of it: any case, "_", ":" and blanks for "-". A repository of
    another owner is not taken for the model of the same name: it may be quantised or changed.
    Raises InputError when a loose form fits several models.
    """
    found = _exact().get(text.lower()) or _loose().get(_key(text))
    if not found:
        return None
    if len({slug for slug, _ in found}) > 1:
        names = ", ".join(sorted({hub for _, hub in found}))
        raise InputError(Problem(what=f"'{text}' fits several models", fix=f"Write one of: {names}", where="--model"))
    slug, hub = next((pair for pair in found if pair[1].lower() == text.lower()), found[0])
    return _spec(slug, hub)


def nearest_names(text: str, count: int = 3) -> list[str]:
    """Catalogue names that look most like `text`, best first; [] when none is close."""
    by_key = {_key(name): name for name in catalog_names()}
    close = difflib.get_close_matches(_key(text.rpartition("/")[2]), list(by_key), n=count, cutoff=0.55)
    return [by_key[key] for key in close]


def _spec(slug: str, hub: str) -> ModelSpec:
    entry = entries()[slug]
    config: dict[str, Any] = msgspec.json.decode(entry.config)
    spec = spec_from_config(config, hub.rpartition("/")[2], "catalog", f"catalogue entry {slug}")
    notes = (*spec.notes, entry.note) if entry.note else spec.notes
    stored = spec.native_quant
    if hub in entry.quantized_names:
        stored = "nf4" if "bnb" in hub.lower() else "int4"
    return msgspec.structs.replace(spec, path=hub, notes=notes, native_quant=stored)


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9./]", "", text.strip().lower())


@cache
def _exact() -> dict[str, list[tuple[str, str]]]:
    """Hub id, or its last part, in lower case -> (entry, hub id): what is usually typed, found without more ado."""
    index: dict[str, list[tuple[str, str]]] = {}
    for slug, entry in entries().items():
        for hub in (entry.hub, *entry.names, *entry.quantized_names):
            index.setdefault(hub.lower(), [(slug, hub)])
            index.setdefault(hub.rpartition("/")[2].lower(), [(slug, hub)])
    return index


@cache
def _loose() -> dict[str, list[tuple[str, str]]]:
    """Loose key -> (entry, hub id). The id itself comes before what is only its last part."""
    index: dict[str, list[tuple[str, str]]] = {}

    def add(key: str, slug: str, hub: str) -> None:
        pairs = index.setdefault(key, [])
        if all(pair[0] != slug for pair in pairs):
            pairs.append((slug, hub))

    for slug, entry in entries().items():
        for hub in (entry.hub, *entry.names, *entry.quantized_names):
            short = hub.rpartition("/")[2]
            for name in (hub, short, re.sub(r"(?i)^meta-", "", short), re.sub(r"(?i)-hf$", "", short)):
                add(_key(name), slug, hub)
        add(_key(slug), slug, entry.hub)
        add(_key(slug.removesuffix("-text")), slug, entry.hub)
    return index
