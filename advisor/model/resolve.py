"""resolve_model: a folder, a GGUF file, a catalogue name or a hub id."""

from __future__ import annotations

import re

from advisor.errors import InputError, Problem
from advisor.model.catalog import catalog_names, from_catalog, nearest_names
from advisor.model.paths import find_local
from advisor.model.spec import ModelSpec

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def resolve_model(text: str, *, offline: bool | None = None) -> ModelSpec:
    """The shape of the model that `text` names.

    In this order: a local folder with a config.json, a local GGUF file, a name of the bundled catalogue, a hub id
    (whose config.json alone is fetched and cached). `offline` None follows HF_HUB_OFFLINE.
    Raises InputError (nothing of that name, or a broken file, with all problems) and MachineError (the hub is needed
    and cannot be reached).
    """
    wanted = text.strip()
    if not wanted:
        raise _unknown(text)
    path = find_local(wanted)
    if path and path.is_dir():
        from advisor.model.folder import spec_from_folder

        return spec_from_folder(path)
    if path:
        from advisor.model.gguf import spec_from_gguf

        return spec_from_gguf(path)
    if _is_path(wanted):
        raise InputError(
            Problem(
                what=f"there is no folder or file {wanted}",
                why="It looks like a local path.",
                fix="Check the path, or give a catalogue name (Llama-3.1-8B) or a hub id (Qwen/Qwen3-8B).",
                where="--model",
            )
        )
    known = from_catalog(wanted)
    if known is not None:
        from advisor.model.hub import with_cached_tokenizer

        return with_cached_tokenizer(known)
    if _HUB_ID.match(wanted):
        from advisor.model.hub import spec_from_hub

        return spec_from_hub(wanted, offline=offline)
    raise _unknown(wanted)


def _is_path(text: str) -> bool:
    looks_local = text.startswith(("/", "./", "../", "~", ".\\")) or "\\" in text or text.count("/") > 1
    return looks_local or text.lower().endswith((".gguf", ".json", ".safetensors"))


def _unknown(text: str) -> InputError:
    close = nearest_names(text)
    fix = f"Did you mean {' or '.join(close)}?" if close else f"Catalogue: {', '.join(catalog_names()[:8])}, ..."
    return InputError(
        Problem(
            what=f"no model is called '{text}'",
            why="It is no local folder, no GGUF file, no catalogue name and no hub id (owner/name).",
            fix=fix,
            where="--model",
        )
    )
