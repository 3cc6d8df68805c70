"""Into how many pieces the processors of transformers cut a picture: their arithmetic, without them.

Each function takes the settings of a processor and the size of a picture, and gives rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainers.pictures.opening import Size

Settings = Mapping[str, Any]
"""processor_config.json with image_processor or preprocessor_config.json spread into it."""

LARGEST_SIDE = 4096
"""Idefics3's processor scales no picture beyond it (transformers, MAX_IMAGE_SIZE)."""
SOFT_TOKENS = (70, 140, 280, 560, 1120)
"""What Gemma 4's processor takes for the most tokens of a picture."""


def side(value: Any, otherwise: int) -> int:
    """One side of a square that is stated as a number, as a pair, or by its height."""
    if isinstance(value, Mapping):
        value = value.get("height")
    elif isinstance(value, list | tuple):
        value = value[0] if value else None
    return value if isinstance(value, int) and value > 0 else otherwise


def limits(settings: Settings, least: int, most: int) -> tuple[int, int]:
    """The fewest and the most pixels of a scaled picture; `least` and `most` where they are not stated."""
    stated = settings.get("size") or {}
    return (
        settings.get("min_pixels") or stated.get("shortest_edge") or least,
        settings.get("max_pixels") or stated.get("longest_edge") or most,
    )


def qwen(settings: Settings, size: Size) -> Size:
    """Patches, after the picture is scaled to whole tokens within the limits on pixels (smart_resize)."""
    return _whole_tokens(settings, size, *limits(settings, 56 * 56, 28 * 28 * 1280))


def glm(settings: Settings, size: Size) -> Size:
    """As Qwen's; small pictures are enlarged before, and each counts as often as a film's frames are merged."""
    factor = (settings.get("patch_size") or 14) * (settings.get("merge_size") or 2)
    least, most = (bound / (settings.get("temporal_patch_size") or 2) for bound in _glm_limits(settings))
    if min(size) < factor:
        scale = max(factor / size.height, factor / size.width)
        size = Size(int(size.height * scale), int(size.width * scale))
    return _whole_tokens(settings, size, least, most)


def _glm_limits(settings: Settings) -> tuple[int, int]:
    return limits(settings, 112 * 112, 28 * 28 * 15_000)


def _whole_tokens(settings: Settings, size: Size, least: float, most: float) -> Size:
    patch, merge = settings.get("patch_size") or 14, settings.get("merge_size") or 2
    factor = patch * merge
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


def pixtral(settings: Settings, size: Size) -> Size:
    """Tokens, after a picture that is too large is scaled within a square."""
    longest = (settings.get("size") or {}).get("longest_edge") or 1024
    token = side(settings.get("patch_size"), 16) * (settings.get("spatial_merge_size") or 1)
    ratio = max(size.height / longest, size.width / longest)
    height, width = (math.floor(one / ratio) if ratio > 1 else one for one in size)
    return Size((height - 1) // token + 1, (width - 1) // token + 1)


def gemma4(settings: Settings, size: Size) -> Size:
    """Tokens, after the picture is scaled to as many patches as it may have, with its proportions kept."""
    pooled = settings.get("pooling_kernel_size") or 3
    token = pooled * side(settings.get("patch_size"), 16)
    most = settings.get("max_soft_tokens") or 280
    factor = math.sqrt(most * token**2 / (size.height * size.width))
    rows, columns = (math.floor(factor * one / token) for one in size)
    if rows == 0:
        return Size(1, min(math.floor(size.width / size.height), most))
    if columns == 0:
        return Size(min(math.floor(size.height / size.width), most), 1)
    return Size(rows, columns)


def square(settings: Settings, patch: int) -> int:
    """Patches of a picture that is scaled to one size."""
    stated = settings.get("crop_size") or settings.get("size") or {}
    sides = (stated.get(name) or stated.get("shortest_edge") or 0 for name in ("height", "width"))
    return math.prod(one // patch for one in sides)


def idefics3(settings: Settings, size: Size) -> Size:
    """Tiles into which a picture is cut; 0 and 0 for one that is read whole."""
    tile = idefics3_tile(settings)
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


def idefics3_tile(settings: Settings) -> int:
    """Side of a tile."""
    return (settings.get("max_image_size") or {}).get("longest_edge") or 364


def internvl(settings: Settings, size: Size) -> Size:
    """Tiles of the arrangement that comes closest to the picture's proportions; of two alike the larger one, as long
    as the picture has more than half its pixels."""
    least, most = settings.get("min_patches") or 1, settings.get("max_patches") or 12
    if most <= 1:
        return Size(1, 1)
    tile = internvl_tile(settings)
    arranged = [
        Size(rows, columns)
        for columns in range(1, most + 1)
        for rows in range(1, most + 1)
        if least <= rows * columns <= most
    ]
    best, nearest = Size(1, 1), math.inf
    for grid in sorted(arranged, key=math.prod):
        off = abs(size.width / size.height - grid.width / grid.height)
        if off < nearest or (off == nearest and math.prod(size) > 0.5 * tile * tile * math.prod(grid)):
            best, nearest = grid, off
    return best


def internvl_tile(settings: Settings) -> int:
    """Side of a tile."""
    return side(settings.get("size"), 448)
