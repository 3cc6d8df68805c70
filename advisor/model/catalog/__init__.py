"""The bundled catalogue: configs of well-known models by name, so that advice needs no download.

models.json holds for each model its hub id, other hub ids of the same shape (chat versions, later issues), names as
people type them, its exact parameter count, licence and config.json. How a typed name is read: `names.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import current, later, tr
from advisor.model.catalog.names import MIRRORS, Typed, key, keys, read_name
from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec, NativeQuant

STORED_AS: dict[NativeQuant, str] = {
    "nf4": later("in 4 bits by bitsandbytes"),
    "int4": later("in 4 bits"),
    "int8": later("in 8 bits"),
    "fp8": later("in FP8"),
    "mxfp4": later("in MXFP4"),
    "nvfp4": later("in NVFP4"),
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One shape of the catalogue."""

    hub: str
    family: str
    released: str
    """Year and month, of the repository."""
    licence: str
    gated: bool
    """Whether the hub asks for an accepted licence and a token; as commonly known, it can change."""
    params: int
    config: msgspec.Raw
    names: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
    """Names of it that no rule of `names.py` leads to: Ollama tags, short forms."""
    quantized_names: tuple[str, ...] = ()
    """Hub ids of the same shape whose weights are quantised already."""
    originals: dict[str, str] = {}
    """Hub id of the same model in its maker's own format or code, which is not loaded here -> the one that is."""
    stored: NativeQuant = "none"
    """How the weights of the repository itself are stored."""
    note: str = ""
    """How the count compares with that of the stored files."""
    source: str = ""
    """Where the shape was read, of entries since November 2026."""


class Found(NamedTuple):
    """What a name was taken for."""

    slug: str
    hub: str
    typed: Typed


@cache
def entries() -> dict[str, Entry]:
    """All entries by their short name."""
    return msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes(), type=dict[str, Entry])


def short_name(hub: str) -> str:
    """The last part of a hub id."""
    return hub.rpartition("/")[2]


def catalog_names() -> list[str]:
    """The name of each entry as it is usually written ("Llama-3.1-8B"), sorted."""
    return sorted((short_name(entry.hub) for entry in entries().values() if "(" not in entry.hub), key=str.lower)


def from_catalog(text: str, *, any_owner: bool = False) -> ModelSpec | None:
    """The model that a name means, with a note of what it was taken for; None when the catalogue does not have it.

    Accepts a hub id or link, its last part, a copy by one who is known to publish copies, or a loose form. Another
    owner's repository is taken for the model of the same name only by `any_owner`: it may be quantised or changed.
    Raises InputError when a loose form fits several models.
    """
    return _from_catalog(text, any_owner, current())


@lru_cache(maxsize=1024)
def _from_catalog(text: str, any_owner: bool, _language: str) -> ModelSpec | None:
    """One object for one name: what is worked out of a model is remembered by the object."""
    found = find(text, any_owner=any_owner)
    return None if found is None else _spec(found, text)


def find(text: str, *, any_owner: bool = False) -> Found | None:
    """The entry and the hub id that a name means. Raises InputError when it fits several models."""
    typed = read_name(text)
    for stated in (_exact(), _originals()):
        if exact := stated.get(text.strip().lower()) or stated.get(typed.address.lower()):
            return Found(*exact, typed)
    if typed.owner and not any_owner and typed.owner not in MIRRORS | _owners():
        return None
    maker, _, after = typed.name.partition("_")  # bartowski writes the maker's name before the model's
    bare = keys(after) if after and maker.lower() in _owners() else []
    for one in (*keys(typed.name), *bare):
        for index in (_names(), _typed(), _loose()):
            if pairs := index.get(one):
                return Found(*_only(text, pairs), typed)
    return None


def _only(text: str, pairs: list[tuple[str, str]]) -> tuple[str, str]:
    if len({slug for slug, _ in pairs}) > 1:
        names = ", ".join(sorted({hub for _, hub in pairs}))
        raise InputError(
            Problem(
                what=tr("'{text}' fits several models", text=text),
                fix=tr("Write one of: {names}", names=names),
                where="--model",
            )
        )
    return pairs[0]


def _spec(found: Found, text: str) -> ModelSpec:
    entry = entries()[found.slug]
    config: dict[str, Any] = msgspec.json.decode(entry.config)
    path, stored, note = _taken_for(found, entry, text)
    spec = spec_from_config(config, short_name(path), "catalog", tr("catalogue entry {slug}", slug=found.slug))
    notes = (note, *spec.notes) if note else spec.notes
    return msgspec.structs.replace(
        spec, path=path, notes=notes, native_quant=stored if stored != "none" else spec.native_quant
    )


def _taken_for(found: Found, entry: Entry, text: str) -> tuple[str, NativeQuant, str]:
    """(what the trainer loads, how it is stored, what to say of it)."""
    typed, hub = found.typed, found.hub.partition(" (")[0]
    asked = text.strip().lower()
    if hub in entry.quantized_names:
        return hub, "nf4" if "bnb" in hub.lower() else "int4", ""
    if typed.address.lower() in _originals():
        said = tr(
            "{address} is in its maker's own format or code, which is not loaded here: {hub} is taken",
            address=typed.address,
            hub=hub,
        )
        return hub, entry.stored, said
    if typed.address.lower() in (hub.lower(), found.hub.lower(), short_name(hub).lower()):
        said = "" if asked == typed.address.lower() else tr("'{text}' is taken for {hub}", text=text.strip(), hub=hub)
        return hub, entry.stored, said
    if typed.runtime:
        said = tr(
            "{runtime} copies are for running a model, not for training it: {hub} is taken",
            runtime=typed.runtime,
            hub=hub,
        )
        return hub, entry.stored, said
    if not typed.owner:
        said = tr("'{text}' is taken for {hub}", text=text.strip(), hub=hub)
        if typed.stored != "none":
            said += tr("; for a quantised copy write its owner as well (owner/name)")
        return hub, entry.stored, said
    how = tr(", stored {stored_as}", stored_as=tr(STORED_AS[typed.stored])) if typed.stored in STORED_AS else ""
    said = tr(
        "{address} is taken for a copy of {hub}{how}; its own config.json was not read",
        address=typed.address,
        hub=hub,
        how=how,
    )
    return typed.address, typed.stored, said


@cache
def _owners() -> frozenset[str]:
    return frozenset(hub.partition("/")[0].lower() for _, hub in _all_ids())


def _all_ids() -> Iterator[tuple[str, str]]:
    for slug, entry in entries().items():
        for hub in (entry.hub, *entry.names, *entry.quantized_names):
            yield slug, hub


@cache
def _exact() -> dict[str, tuple[str, str]]:
    """Hub id, or its last part, in small letters -> (entry, hub id): what is usually typed."""
    index: dict[str, tuple[str, str]] = {}
    for slug, hub in _all_ids():
        index.setdefault(hub.lower(), (slug, hub))
    for slug, hub in _all_ids():
        index.setdefault(short_name(hub).lower(), (slug, hub))
    for slug, entry in entries().items():
        index.setdefault(slug, (slug, entry.hub))
    return index


@cache
def _originals() -> dict[str, tuple[str, str]]:
    """Hub id in its maker's own format, in small letters -> (entry, the hub id that is loaded)."""
    return {
        original.lower(): (slug, hub)
        for slug, entry in entries().items()
        for original, hub in entry.originals.items()
    }


@cache
def _names() -> dict[str, list[tuple[str, str]]]:
    """Key of a name that is stated -> (entry, hub id)."""
    index: dict[str, list[tuple[str, str]]] = {}
    for slug, hub in _all_ids():
        _add(index, key(short_name(hub)), slug, hub)
        _add(index, key(slug), slug, entries()[slug].hub)
    return index


@cache
def _typed() -> dict[str, list[tuple[str, str]]]:
    """Key of a name that only people use -> (entry, hub id)."""
    index: dict[str, list[tuple[str, str]]] = {}
    for slug, entry in entries().items():
        for name in entry.typed:
            _add(index, key(name), slug, entry.hub)
    return index


@cache
def _loose() -> dict[str, list[tuple[str, str]]]:
    """Every other key of a name -> (entry, hub id)."""
    index: dict[str, list[tuple[str, str]]] = {}
    for slug, hub in _all_ids():
        if "(" not in hub:
            for one in keys(short_name(hub)):
                _add(index, one, slug, hub)
    return index


def _add(index: dict[str, list[tuple[str, str]]], one: str, slug: str, hub: str) -> None:
    pairs = index.setdefault(one, [])
    if all(pair[0] != slug for pair in pairs):
        pairs.append((slug, hub))
