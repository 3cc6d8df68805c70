"""What the catalogue knows, and what of it a machine has room to train (`sft-advisor probe models`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from trainers.method import Method

if TYPE_CHECKING:
    from advisor.model.catalog import Entry
    from advisor.model.spec import ModelSpec
    from advisor.probe.hardware import Hardware

METHODS: tuple[Method, ...] = ("full", "lora", "qlora")
MAX_SEQ_LEN = 2048


class KnownModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the catalogue."""

    schema: Literal["sft-advisor/models/v1"] = "sft-advisor/models/v1"
    """Name and version of the document that this is a row of."""
    name: str
    """Its id on the hub."""
    family: str
    """The family that it belongs to."""
    released: str
    """Year and month."""
    params: int
    """Parameters, tied ones once."""
    active_params: int
    """Those that one token passes through, parts for images and sound counted."""
    context: int | None
    """Positions that its config states."""
    modality: str
    """text, or what it reads besides: text+vision, text+vision+audio."""
    licence: str
    """Its licence, as the hub names it."""
    gated: bool
    """Whether the hub asks for an accepted licence and a token."""
    trained_here: bool
    """Whether this trainer loads it; `why_not` says what trains it otherwise."""
    why_not: str = ""
    """Why this trainer does not load it; empty where it does."""
    fits: tuple[Method, ...] = ()
    """Methods that the named machine has room for: one packed row of 2048 tokens at a time, on one device."""


def known_models(family: str | None, hardware: Hardware | None) -> list[KnownModel]:
    """The catalogue's models, of one family and fitting one machine where asked for, the newest family first and the
    smallest of it first. Raises InputError where no model is of that family."""
    from advisor.model.catalog import entries

    chosen = [entry for entry in entries().values() if "(" not in entry.hub]
    if family is not None:
        letters = _letters(family)
        chosen = [entry for entry in chosen if letters in _letters(entry.family) or letters in _letters(entry.hub)]
        if not chosen:
            raise _no_family(family)
    newest: dict[str, str] = {}
    for entry in chosen:
        newest[entry.family] = max(newest.get(entry.family, ""), entry.released)
    chosen.sort(key=lambda entry: (entry.family, entry.params))
    chosen.sort(key=lambda entry: newest[entry.family], reverse=True)
    rows = (_row(entry, hardware) for entry in chosen)
    return [row for row in rows if hardware is None or row.fits]


def described(entry: Entry, spec: ModelSpec) -> KnownModel:
    """One row of the catalogue, without what fits."""
    from advisor.model.use import refusal

    problem = refusal(spec)
    return KnownModel(
        name=entry.hub,
        family=entry.family,
        released=entry.released,
        params=entry.params,
        active_params=spec.tower_params + spec.active_params if spec.known else entry.params,
        context=spec.max_position_embeddings,
        modality=_modality(bytes(entry.config)),
        licence=entry.licence,
        gated=entry.gated,
        trained_here=problem is None,
        why_not=problem.why or "" if problem else "",
    )


def _row(entry: Entry, hardware: Hardware | None) -> KnownModel:
    from advisor.model.catalog import from_catalog

    spec = from_catalog(entry.hub)
    if spec is None:
        raise AssertionError(f"{entry.hub} is in the catalogue, and its name is not")
    row = described(entry, spec)
    if hardware is None or not row.trained_here:
        return row
    return msgspec.structs.replace(row, fits=tuple(_fitting(spec, hardware)))


def _fitting(spec: ModelSpec, hardware: Hardware) -> Iterator[Method]:
    from advisor.decide.facts import choose_devices
    from advisor.estimate.memory import Estimator
    from trainers.plan import ModelRef, TrainingPlan

    devices = choose_devices(hardware)
    if devices.available_bytes is None:
        return
    for method in METHODS:
        if (method == "full" and spec.native_quant in ("nf4", "nvfp4", "int4", "int8")) or (
            method == "qlora" and devices.accelerator == "cpu"
        ):
            continue
        plan = TrainingPlan(
            model=ModelRef(name=spec.path or spec.name),
            method=method,
            max_seq_len=MAX_SEQ_LEN,
            micro_batch_size=1,
            accelerator=devices.accelerator,
            quantization="nf4" if method == "qlora" else "none",
            lora_rank=None if method == "full" else 16,
            lora_alpha=None if method == "full" else 32,
            lora_targets=None if method == "full" else ("all-linear",),
        )
        sm = next((gpu.sm for gpu in devices.gpus), None)
        if Estimator(spec, plan, sm=sm).need_bytes() <= devices.available_bytes:
            yield method


def _modality(config: bytes) -> str:
    parts = [name for name in ("vision", "audio") if f'"{name}_config": {{'.encode() in config]
    return "+".join(["text", *parts])


def _letters(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign.isalnum() or sign == ".")


def _no_family(family: str) -> InputError:
    from advisor.model.catalog import entries
    from advisor.model.catalog.near import near_names

    near = near_names(family)
    families = sorted({entry.family for entry in entries().values()}, key=str.lower)
    fix = (
        tr("Near to it: {near}.", near=", ".join(near))
        if near
        else tr("Families: {families}.", families=", ".join(families))
    )
    return InputError(
        Problem(what=tr("the catalogue has no family '{family}'", family=family), fix=fix, where="--family")
    )
