"""How a model that sees pictures looks at them: the sizes of its vision tower, read off its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.model.spec import Eyes
from advisor.model.towers import Form, Reader
from trainers.pictures.families import family_of

_WIDTHS = ("embed_dim", "hidden_size")
"""Qwen2-VL calls what its tower hands on hidden_size."""


def eyes_in(form: Form, config: Mapping[str, Any], hidden: int) -> Eyes | None:
    """The eyes of a whole checkpoint, whose language model is `hidden` wide; None where none are trained with."""
    read = Reader(config, form, hidden)
    kind = read.stated("vision_config.model_type")
    model_type = config.get("model_type")
    family = family_of(model_type, kind if isinstance(kind, str) else None)
    if family is None or not isinstance(model_type, str):
        return None
    width = next((size for name in _WIDTHS if (size := _size(read, name))), 0)
    key, usual = family.merge
    stated = read.stated(key) if key else None
    side = stated if isinstance(stated, int | float) and stated > 0 else usual
    patch = _size(read, "patch_size") or 14
    return Eyes(
        model_type=model_type,
        tower=kind if isinstance(kind, str) else None,
        hidden_size=width,
        intermediate_size=_size(read, "intermediate_size") or int(width * (_size(read, "mlp_ratio") or 4)),
        patch_size=patch,
        image_size=_size(read, "image_size"),
        merge=round(side if side >= 1 else 1 / side),
        pixel_values=3 * patch**2 * (_size(read, "temporal_patch_size") or 1),
        alive=family.alive,
    )


def _size(read: Reader, name: str) -> int:
    value = read.stated(f"vision_config.{name}")
    if isinstance(value, list):
        value = value[0] if value else 0
    return value if isinstance(value, int) and value > 0 else 0
