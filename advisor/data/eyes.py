"""How a model looks at pictures, read off the settings of its processor beside its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advisor.model.folder import read_json_object
from advisor.model.hub import cached_file
from advisor.model.spec import ModelSpec
from trainers.pictures.families import Look, look_of, settings_of


def eyes_of(model: ModelSpec | None, max_pixels: int | None = None) -> Look | None:
    """How this model's family turns pictures into tokens, by its own settings where they are at hand, else by those
    of its family's releases; None for a model without eyes, or of a family that was not seen to learn from pictures.

    `max_pixels` bounds each picture where the family's processor can.
    """
    if model is None or model.eyes is None:
        return None
    eyes = model.eyes
    tower = {
        "tower": eyes.tower,
        "tower_patch_size": eyes.patch_size,
        "tower_image_size": eyes.image_size or None,
        "tower_merge": eyes.merge,
    }
    processor, pixels = (_read(model, name) for name in ("processor_config.json", "preprocessor_config.json"))
    look = look_of(eyes.model_type, settings_of(processor, pixels, tower))
    if look is None or not max_pixels:
        return look
    return look.bounded(max_pixels)


def _read(model: ModelSpec, name: str) -> dict[str, Any]:
    if not model.path:
        return {}
    path = Path(model.path) / name if model.source == "folder" else cached_file(model.path, name)
    return read_json_object(path) if path is not None and path.is_file() else {}
