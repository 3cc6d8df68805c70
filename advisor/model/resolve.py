"""resolve_model: a folder, a GGUF file, a catalogue name or a hub id."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from advisor.base.errors import InputError, MachineError, Problem
from advisor.base.language import tr
from advisor.base.sandbox import lock_down, sandboxed
from advisor.model.adapter import is_adapter, read_adapter
from advisor.model.catalog import find, from_catalog
from advisor.model.catalog.names import read_name
from advisor.model.spec import ModelSpec, TrainedAdapter
from advisor.model.use import refusal_by_name
from trainers.examples.files import kind_of
from trainers.foreign.text import shell
from trainers.paths import find_local

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_FILE = re.compile(r"\.(gguf|json|safetensors|bin|pt|ckpt)$", re.IGNORECASE)


def resolve_model(text: str, *, offline: bool | None = None) -> ModelSpec:
    """The shape of the model that `text` names.

    In this order: a local folder with a config.json, or with a LoRA adapter (then its base, and the adapter beside
    it), a local GGUF file, a name of the bundled catalogue (or a copy of one of its models, whose own config.json is
    read where the hub cache has it), a hub id (whose config.json alone is fetched and cached). `offline` None follows
    HF_HUB_OFFLINE.
    Raises InputError (nothing of that name, a closed model, or a broken file, with all problems) and MachineError
    (the hub is needed and cannot be reached).
    """
    wanted = text.strip()
    path = find_local(wanted) if wanted else None
    if path and is_adapter(path):
        return _under_adapter(path, offline)
    if path:
        return _or_derived(sandboxed(ModelSpec, lambda: _of_this_disk(path)), path)
    if not wanted or _FILE.search(wanted):
        raise _no_path(wanted) if wanted else _unknown(text)
    from advisor.model.catalog.near import closed_model

    if closed := closed_model(wanted):
        raise closed
    if known := _known(wanted):
        return known
    address = read_name(wanted).address
    if _is_path(wanted) and address == wanted.strip("/ "):
        return _named_by_folder(wanted)
    if _HUB_ID.match(address):
        return _from_hub(address, offline)
    raise _unknown(wanted)


def _under_adapter(folder: Path, offline: bool | None) -> ModelSpec:
    """The base of an adapter that is gone on with. Raises InputError as `resolve_model`, and for a chain of them."""
    adapter = sandboxed(TrainedAdapter, lambda: _read_locked(folder))
    named = find_local(adapter.base)
    if named and is_adapter(named):
        raise _unknown(adapter.base)
    base = resolve_model(adapter.base, offline=offline)
    note = tr("the run goes on from the adapter in {folder}, of rank {rank}", folder=folder, rank=adapter.rank)
    return msgspec.structs.replace(base, adapter=adapter, notes=(note, *base.notes))


def _read_locked(folder: Path) -> TrainedAdapter:
    lock_down(0)
    return read_adapter(folder)


def _of_this_disk(path: Path) -> ModelSpec:
    lock_down(0)  # headers and small files, however large the weights
    if path.is_dir():
        from advisor.model.folder import spec_from_folder

        return spec_from_folder(path)
    if kind_of(path) not in ("", "json"):
        raise InputError(_holds_examples(path))
    from advisor.model.gguf import spec_from_gguf

    return spec_from_gguf(path)


def _holds_examples(path: Path) -> Problem:
    return Problem(
        what=tr("{path} is by its name a file of examples, and no model", path=path),
        why=tr("a model is a folder, a GGUF file, a catalogue name or a hub id (owner/name)"),
        fix=f"--dataset {shell(str(path))} --model Qwen3-8B",
        where="--model",
    )


def _known(text: str) -> ModelSpec | None:
    """The catalogue's model, with what the local hub cache has of it; a copy's own config.json comes first."""
    known = from_catalog(text)
    if known is None:
        return None
    from advisor.model.hub import cached_file, spec_from_hub, with_cached_tokenizer

    found = find(text)
    is_copy = found is not None and known.path != found.hub
    if is_copy and known.path and cached_file(known.path, "config.json"):
        return spec_from_hub(known.path)
    return with_cached_tokenizer(known)


def _from_hub(repo: str, offline: bool | None) -> ModelSpec:
    """The repository's model; where the hub cannot be reached, the catalogue's model of the same name."""
    from advisor.model.hub import spec_from_hub

    try:
        return spec_from_hub(repo, offline=offline)
    except MachineError:
        alike = from_catalog(repo, any_owner=True)
        if alike is None and (problem := refusal_by_name(repo)):
            raise InputError(problem) from None
        if alike is None:
            raise
        note = tr("the hub could not be asked: it may be quantised, changed, or not there")
        return msgspec.structs.replace(alike, notes=(*alike.notes, note))


def _named_by_folder(text: str) -> ModelSpec:
    """The catalogue's model that a folder which is not here is named after. Raises InputError."""
    name = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    found = find(name) if name and not text.startswith("~") else None
    alike = from_catalog(name) if found and name.lower() == found.hub.rpartition("/")[2].lower() else None
    if alike is None:
        raise _no_path(text)
    note = tr("there is no folder {text} here; by its name it is taken for {path}", text=text, path=alike.path)
    return msgspec.structs.replace(alike, notes=(note, *alike.notes))


def _or_derived(spec: ModelSpec, path: Path) -> ModelSpec:
    """The model; where no table of its family is kept, as transformers builds it, in a child process."""
    from advisor.model.derived import NOT_KNOWN, derived
    from advisor.model.folder import read_json_object

    if spec.use not in NOT_KNOWN or not path.is_dir():
        return spec
    return derived(spec, path, read_json_object(path / "config.json"))


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~", ".\\")) or "\\" in text or text.count("/") > 1


def _no_path(text: str) -> InputError:
    return InputError(
        Problem(
            what=tr("there is no folder or file {text}", text=text),
            why=tr("It looks like a local path."),
            fix=tr("Check the path, or give a catalogue name (Llama-3.1-8B) or a hub id (Qwen/Qwen3-8B)."),
            where="--model",
        )
    )


def _unknown(text: str) -> InputError:
    from advisor.model.catalog.near import near_names

    if problem := refusal_by_name(text):
        return InputError(problem)
    close = near_names(text) if text.strip() else []
    fix = tr("Did you mean {close}? ", close=tr(" or ").join(close)) if close else ""
    return InputError(
        Problem(
            what=tr("no model is called '{text}'", text=text),
            why=tr("It is neither a local folder, a GGUF file, a catalogue name nor a hub id (owner/name)."),
            fix=tr("{fix}What is known: sft-advisor probe models", fix=fix),
            where="--model",
        )
    )
