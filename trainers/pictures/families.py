"""Families whose pictures can be trained on, and how many tokens a picture becomes in each.

A family is listed once its processor, its model and a run on pictures were seen to work together
(tests/trainers/training/test_pictures_run.py). The arithmetic is that of transformers' processors without them, so
that data is judged where torch is not installed; tests/trainers/pictures/test_families.py holds both together.

    look = look_of("qwen2_5_vl", settings)
    look.mark               what the chat template writes where a picture stands
    look.written(size)      what the processor writes there for a picture of this size
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from trainers.pictures.opening import Size

Settings = Mapping[str, Any]
"""processor_config.json with image_processor or preprocessor_config.json spread into it."""
Budget = Literal["area", "longest_edge", "fixed"]
"""How a family's processor takes a limit on pixels: as their number, as the longer side, or not at all."""

LARGEST_SIDE = 4096
"""Idefics3's processor scales no picture beyond it (transformers, MAX_IMAGE_SIZE)."""


class Family(NamedTuple):
    """How one family shows a picture."""

    mark: str
    """What its chat template writes where a picture stands."""
    token: str
    """What stands for one piece of a picture, as often as it becomes tokens."""
    written: Callable[[Settings, Size], str]
    patches: Callable[[Settings, Size], int]
    """Pieces of a picture that the tower reads."""
    budget: Budget


class Look(NamedTuple):
    """One checkpoint's eyes: its family with its own settings."""

    family: Family
    settings: Settings

    @property
    def mark(self) -> str:
        """What the chat template writes where a picture stands."""
        return self.family.mark

    def written(self, size: Size) -> str:
        """What the processor writes for a picture of this size."""
        return self.family.written(self.settings, size)

    def bounded(self, max_pixels: int) -> Look:
        """The same eyes with at most so many pixels for a picture; as they are where the processor takes no limit."""
        bound = with_budget(self, max_pixels)
        kept = {name: value for name, value in self.settings.items() if name not in ("min_pixels", "max_pixels")}
        return self._replace(settings={**kept, **bound}) if bound else self

    def tokens(self, size: Size) -> int:
        """Tokens that stand for a picture of this size, without the marks around and between them."""
        return self.written(size).count(self.family.token)

    def patches(self, size: Size) -> int:
        """Pieces of this picture that the tower reads."""
        return self.family.patches(self.settings, size)


def _qwen_grid(settings: Settings, size: Size) -> Size:
    """Patches down and across, after the picture is scaled to whole tokens within the pixel limits (smart_resize)."""
    patch, merge = settings.get("patch_size") or 14, settings.get("merge_size") or 2
    factor = patch * merge
    limits = settings.get("size") or {}
    least = settings.get("min_pixels") or limits.get("shortest_edge") or 56 * 56
    most = settings.get("max_pixels") or limits.get("longest_edge") or 28 * 28 * 1280
    height, width = round(size.height / factor) * factor, round(size.width / factor) * factor
    if height * width > most:
        shrink = math.sqrt(size.height * size.width / most)
        height = max(factor, math.floor(size.height / shrink / factor) * factor)
        width = max(factor, math.floor(size.width / shrink / factor) * factor)
    elif height * width < least:
        grow = math.sqrt(least / (size.height * size.width))
        height = math.ceil(size.height * grow / factor) * factor
        width = math.ceil(size.width * grow / factor) * factor
    return Size(height // patch, width // patch)


def _qwen(settings: Settings, size: Size) -> str:
    down, across = _qwen_grid(settings, size)
    return "<|image_pad|>" * (down * across // (settings.get("merge_size") or 2) ** 2)


def _gemma3(settings: Settings, size: Size) -> str:
    """The same for every size; cutting out more views of a picture (pan and scan) is off in every release."""
    soft = "<image_soft_token>" * (settings.get("image_seq_length") or 256)
    return f"\n\n<start_of_image>{soft}<end_of_image>\n\n"


def _square(settings: Settings, size: Size) -> int:
    """Patches of a picture that is scaled to one size."""
    stated = settings.get("crop_size") or settings.get("size") or {}
    patch = settings.get("patch_size") or 14
    sides = (stated.get(side) or stated.get("shortest_edge") or 0 for side in ("height", "width"))
    return math.prod(side // patch for side in sides)


def _llava(settings: Settings, size: Size) -> str:
    tokens = _square(settings, size) + (settings.get("num_additional_image_tokens") or 0)
    return "<image>" * (tokens - (settings.get("vision_feature_select_strategy") == "default"))


def _tiles(settings: Settings, size: Size) -> Size:
    """Rows and columns into which a picture is cut; 0 and 0 for one that is read whole."""
    tile = (settings.get("max_image_size") or {}).get("longest_edge") or 364
    if settings.get("do_image_splitting") is False:
        return Size(0, 0)
    longest = (settings.get("size") or {}).get("longest_edge") or 4 * 364
    ratio = size.width / size.height
    if size.width >= size.height:
        width, height = longest, int(longest / ratio)
        height += height % 2
    else:
        width, height = int(longest * ratio), longest
        width += width % 2
    height, width = max(1, height), max(1, width)
    ratio = width / height
    if width >= height and width > LARGEST_SIDE:
        height, width = max(1, int(LARGEST_SIDE / ratio)), LARGEST_SIDE
    elif height > width and height > LARGEST_SIDE:
        height, width = LARGEST_SIDE, max(1, int(LARGEST_SIDE * ratio))
    ratio = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        height = math.ceil(int(width / ratio) / tile) * tile
    else:
        height = math.ceil(height / tile) * tile
        width = math.ceil(int(height * ratio) / tile) * tile
    return Size(height // tile, width // tile) if max(height, width) > tile else Size(0, 0)


def _idefics3(settings: Settings, size: Size) -> str:
    rows, columns = _tiles(settings, size)
    around, soft = "<fake_token_around_image>", "<image>" * (settings.get("image_seq_len") or 169)
    lines = [
        "".join(f"{around}<row_{row + 1}_col_{column + 1}>{soft}" for column in range(columns)) + "\n"
        for row in range(rows)
    ]
    return "".join(lines) + ("\n" if rows else "") + f"{around}<global-img>{soft}{around}"


def _idefics3_patches(settings: Settings, size: Size) -> int:
    rows, columns = _tiles(settings, size)
    tile = (settings.get("max_image_size") or {}).get("longest_edge") or 364
    return (rows * columns + 1) * (tile // (settings.get("tower_patch_size") or 14)) ** 2


_QWEN = Family(
    "<|image_pad|>", "<|image_pad|>", _qwen, lambda settings, size: math.prod(_qwen_grid(settings, size)), "area"
)
_IDEFICS3 = Family("<image>", "<image>", _idefics3, _idefics3_patches, "longest_edge")

FAMILIES: dict[str, Family] = {
    "gemma3": Family(
        "<start_of_image>",
        "<image_soft_token>",
        _gemma3,
        lambda settings, size: _square({**settings, "patch_size": settings.get("tower_patch_size") or 14}, size),
        "fixed",
    ),
    "idefics3": _IDEFICS3,
    "llava": Family("<image>", "<image>", _llava, _square, "fixed"),
    "qwen2_5_vl": _QWEN,
    "qwen2_vl": _QWEN,
    "smolvlm": _IDEFICS3,
}
"""`model_type` -> how it shows a picture."""


def look_of(model_type: str | None, settings: Settings) -> Look | None:
    """The eyes of a checkpoint with these settings; None for a family whose pictures are not trained on here."""
    family = FAMILIES.get(model_type or "")
    return Look(family, settings) if family else None


def settings_of(processor: Settings, image_processor: Settings, config: Settings) -> Settings:
    """processor_config.json and preprocessor_config.json as one; the latter's values where both state one."""
    tower = config.get("vision_config")
    patch = tower.get("patch_size") if isinstance(tower, Mapping) else None
    inner = processor.get("image_processor")
    pixels = image_processor or (inner if isinstance(inner, Mapping) else {})
    own = {name: value for name, value in processor.items() if not isinstance(value, Mapping)}
    return {**pixels, **own, "tower_patch_size": patch}


def with_budget(look: Look, max_pixels: int) -> dict[str, Any]:
    """What the image processor is set to for pictures of at most `max_pixels`; {} where it takes no limit."""
    if look.family.budget == "area":
        least = (look.settings.get("size") or {}).get("shortest_edge") or look.settings.get("min_pixels") or 56 * 56
        return {"size": {"shortest_edge": min(least, max_pixels), "longest_edge": max_pixels}}
    if look.family.budget == "longest_edge":
        tile = (look.settings.get("max_image_size") or {}).get("longest_edge") or 364
        return {"size": {"longest_edge": max(1, math.isqrt(max_pixels) // tile) * tile}}
    return {}
