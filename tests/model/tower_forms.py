"""Derives how many parameters the vision and audio parts of each family hold, from transformers' own modules.

    python -m tests.model.tower_forms          rewrites advisor/model/towers.json (some minutes)

Each family is built on the meta device, then once more for every size of its config, that size doubled. A dimension
of a tensor is a constant plus a product of powers of sizes, and how it changes says which; the product of a tensor's
dimensions, summed over the tensors of a part, is a polynomial in the sizes. No family is named here.
"""

from __future__ import annotations

import copy
import json
import math
import random
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.model.model_uses import read_uses
from tests.model.polynomials import (
    Field,
    NotDerivedError,
    Polynomial,
    difference,
    fields_of,
    measure,
    tensor_polynomial,
    twice,
    value_at,
)
from tests.model.tower_parts import Probe, optional_sections, shapes, takes_any_tower, tied, whole_config

TARGET = Path(__file__).parents[2] / "advisor" / "model" / "towers.json"
VISION_TYPES = ("clip_vision_model", "siglip_vision_model", "siglip2_vision_model", "pixtral")
"""Towers that one family of wrappers puts in place of each other."""
KINDS = {"norm_type": ("layer_norm", "rms_norm")}
"""Words of a config that decide which parameters there are, and what they may be."""


def derive(probe: Probe) -> dict[str, Any]:
    """The family's row of towers.json: for each part its polynomials, and what switches add to them."""
    base = shapes(probe.config)
    parts = polynomials(probe, base, probe.config)
    switches: dict[str, Any] = {}
    for field, value in probe.fields():
        for choice in choices(field, value):
            flipped = probe.changed(field, choice)
            try:
                other = shapes(flipped)
            except Exception:  # noqa: BLE001 - transformers refuses this combination
                continue
            if other != base:
                turned = copy.copy(probe)
                turned.config = flipped
                switches[field] = {"value": choice, "adds": difference(polynomials(turned, other, flipped), parts)}
    used = {name for row in (parts, *(s["adds"] for s in switches.values())) for name in fields_of(row)}
    defaults = {field: value for field, value in _original(probe) if field in used or field in switches}
    return {"parts": parts, "switches": switches, "defaults": defaults, "names": other_names(probe, defaults)}


def other_names(probe: Probe, used: Collection[Field]) -> dict[Field, str]:
    """Field -> the key by which a config.json may state it as well."""
    names = {}
    for prefix, section in probe.sections():
        for other, key in getattr(section, "attribute_map", {}).items():
            if prefix + key in used:
                names[prefix + key] = other
    return names


def choices(field: Field, value: Any) -> list[Any]:
    """What else a switch may be."""
    if isinstance(value, bool):
        return [not value]
    return [kind for kind in KINDS.get(field.rpartition(".")[2], ()) if kind != value]


def _original(probe: Probe) -> Iterator[tuple[Field, Any]]:
    fresh = copy.copy(probe)
    fresh.config = whole_config(probe.model_type, probe.asked)
    for field, value in fresh.fields():
        yield field, value if isinstance(value, bool | str) else measure(value)


def polynomials(probe: Probe, base: Any, config: Any) -> dict[str, dict[str, Polynomial]]:
    """Part -> {"linear" (weights of nn.Linear), "other"} -> polynomial."""
    held = copy.copy(probe)
    held.config = config
    doubled: dict[Field, Any] = {}
    at: dict[Field, float] = {}
    for field, value in held.fields():
        if (size := measure(value)) is None:
            continue
        try:
            other = shapes(held.changed(field, twice(value)))
        except Exception:  # noqa: BLE001 - a value that stands for something else than a size
            continue
        if other != base and set(other) == set(base):
            doubled[field], at[field] = other, size
    parts: dict[str, dict[str, Polynomial]] = {}
    for tensor, copies in base.items():
        others = {field: other[tensor] for field, other in doubled.items()}
        kind = parts.setdefault(tensor.part, {}).setdefault("linear" if tensor.linear else "other", {})
        for mono, value in tensor_polynomial(tensor.name, copies, others, at).items():
            kind[mono] = kind.get(mono, 0) + value
    _verify(held, parts, at)
    return parts


def _verify(probe: Probe, parts: dict[str, dict[str, Polynomial]], at: dict[Field, float]) -> None:
    """Three sizes doubled at once, four times over: what was found one by one holds for them together."""
    choose = random.Random(probe.model_type)
    values = dict(probe.fields())
    for _ in range(4 if len(at) > 2 else 0):
        chosen = choose.sample(sorted(at), 3)
        config = probe.config
        for field in chosen:
            turned = copy.copy(probe)
            turned.config = config
            config = turned.changed(field, twice(values[field]))
        try:
            found = sum(math.prod(shape) for copies in shapes(config).values() for shape in copies)
        except Exception:  # noqa: BLE001 - transformers refuses this combination
            continue
        sizes = {**at, **{field: 2 * at[field] for field in chosen}}
        said = sum(value_at(poly, sizes) for kinds in parts.values() for poly in kinds.values())
        if abs(said - found) > 0.5:
            raise NotDerivedError(f"with {chosen} doubled the parts hold {found}, the polynomials say {said}")


def families() -> list[str]:
    """Every model_type whose model holds more than a language model, those for speech left out."""
    from transformers.models.auto import modeling_auto

    uses = {model_type: use for use, names in read_uses().items() for model_type in names}
    named = sorted(modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES)
    return [model_type for model_type in named if uses.get(model_type) in ("causal", "image_text", "multimodal")]


def rows(wanted: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the row, row) of each family, with a row more for each tower that its wrapper takes as well."""
    for model_type in wanted or families():
        usual = None
        for vision in (None, *(VISION_TYPES if takes_any_tower(model_type) else ())):
            try:
                if vision is not None and vision == usual:
                    continue
                probe = Probe(model_type, vision)
                usual = usual or probe.vision
                if vision is not None and probe.vision != vision:
                    continue
                row = derive(probe) | {"tied": tied(probe)}
                row["optional"] = optional_sections(model_type)
                print(f"{model_type} {probe.vision}", file=sys.stderr)
                yield model_type + (f"+{vision}" if vision else ""), row
            except Exception as error:  # noqa: BLE001 - transformers refuses its own defaults, or no polynomial fits
                print(f"{model_type} {vision or ''}: not derived: {type(error).__name__}: {error}", file=sys.stderr)


def encoded(wanted: Sequence[str] = ()) -> str:
    """The file's content: one family a line, so that a diff shows what a new transformers changed."""
    lines = [f"{json.dumps(name)}: {json.dumps(plain(row), sort_keys=True)}" for name, row in rows(wanted)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its polynomials as lists of [coefficient, {field: power}]."""

    def listed(parts: dict[str, dict[str, Polynomial]]) -> dict[str, Any]:
        return {
            part: {
                kind: [[_short(value), dict(mono)] for mono, value in sorted(poly.items())]
                for kind, poly in kinds.items()
            }
            for part, kinds in parts.items()
        }

    more = {key: row[key] for key in ("optional", "tied")}
    switches = {
        field: {"value": switch["value"], "adds": listed(switch["adds"])} for field, switch in row["switches"].items()
    }
    return {
        "parts": listed(row["parts"]),
        "switches": switches,
        "defaults": row["defaults"],
        "names": row["names"],
        **more,
    }


def _short(value: float) -> float:
    return int(value) if value == int(value) else value


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    content = encoded(sys.argv[1:])
    if sys.argv[1:]:
        print(content)
    else:
        TARGET.write_text(content)
