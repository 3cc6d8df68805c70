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
from typing import Any, NamedTuple

from trainers.pictures import grids
from trainers.pictures.grids import Settings
from trainers.pictures.opening import Size

Bound = Callable[[Settings, int], dict[str, Any]]


class Family(NamedTuple):
    """How one family shows a picture."""

    mark: str
    """What its chat template writes where a picture stands."""
    token: str
    """What stands for one piece of a picture, as often as it becomes tokens."""
    written: Callable[[Settings, Size], str]
    patches: Callable[[Settings, Size], int]
    """Pieces of a picture that the tower reads."""
    bound: Bound | None = None
    """What its image processor is set to for a limit on pixels; None where it scales every picture to one size."""
    released: Callable[[Settings], Settings] = lambda tower: {}
    """What its releases state with such a tower, for a model whose files are not at hand."""
    merge: tuple[str, float] = ("", 1)
    """Where the config states the side of the square of patches that becomes one token (or 1 / side), and what it is
    where it does not."""
    alive: tuple[int, int] = (8, 3)
    """Values that a patch holds at once while its tower works: hidden widths in attention, inner widths in the
    feed-forward part. As torch's tracker saw them (tests/estimate/test_looking.py)."""


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

    def bound_to(self, max_pixels: int) -> dict[str, Any]:
        """What the image processor is set to for pictures of at most `max_pixels`; {} where it takes no limit."""
        return self.family.bound(self.settings, max_pixels) if self.family.bound else {}

    def bounded(self, max_pixels: int) -> Look:
        """The same eyes with at most so many pixels for a picture; as they are where the processor takes no limit."""
        bound = self.bound_to(max_pixels)
        kept = {name: value for name, value in self.settings.items() if name not in ("min_pixels", "max_pixels")}
        return self._replace(settings={**kept, **bound}) if bound else self

    def tokens(self, size: Size) -> int:
        """Tokens that stand for a picture of this size, without the marks around and between them."""
        return self.written(size).count(self.family.token)

    def patches(self, size: Size) -> int:
        """Pieces of this picture that the tower reads."""
        return self.family.patches(self.settings, size)


def _tower_patch(settings: Settings) -> int:
    return grids.side(settings.get("tower_patch_size"), 14)


def _merged(token: str, grid: Callable[[Settings, Size], Size]) -> Callable[[Settings, Size], str]:
    """A token for each square of patches that are read as one."""

    def written(settings: Settings, size: Size) -> str:
        return token * (math.prod(grid(settings, size)) // (settings.get("merge_size") or 2) ** 2)

    return written


def _area(settings: Settings, max_pixels: int) -> dict[str, Any]:
    least, _ = grids.limits(settings, 56 * 56, max_pixels)
    return {"size": {"shortest_edge": min(least, max_pixels), "longest_edge": max_pixels}}


def _area_of_frames(settings: Settings, max_pixels: int) -> dict[str, Any]:
    return _area(settings, max_pixels * (settings.get("temporal_patch_size") or 2))


def _gemma3(settings: Settings, size: Size) -> str:
    """The same for every size; cutting out more views of a picture (pan and scan) is off in every release."""
    soft = "<image_soft_token>" * (settings.get("image_seq_length") or 256)
    return f"\n\n<start_of_image>{soft}<end_of_image>\n\n"


def _gemma4(settings: Settings, size: Size) -> str:
    return f"<|image>{'<|image|>' * math.prod(grids.gemma4(settings, size))}<image|>"


def _gemma4_patches(settings: Settings, size: Size) -> int:
    """As many for every picture: it is filled up to them."""
    return int((settings.get("max_soft_tokens") or 280) * (settings.get("pooling_kernel_size") or 3) ** 2)


def _gemma4_bound(settings: Settings, max_pixels: int) -> dict[str, Any]:
    token = (settings.get("pooling_kernel_size") or 3) * grids.side(settings.get("patch_size"), 16)
    fitting = [tokens for tokens in grids.SOFT_TOKENS if tokens * token**2 <= max_pixels]
    return {"max_soft_tokens": max(fitting, default=grids.SOFT_TOKENS[0])}


def _llava_patches(settings: Settings, size: Size) -> int:
    return grids.square(settings, grids.side(settings.get("patch_size"), 14))


def _llava(settings: Settings, size: Size) -> str:
    tokens = _llava_patches(settings, size) + (settings.get("num_additional_image_tokens") or 0)
    return "<image>" * (tokens - (settings.get("vision_feature_select_strategy") == "default"))


def _pixtral(settings: Settings, size: Size) -> str:
    down, across = grids.pixtral(settings, size)
    rows = ("[IMG]" * across + "[IMG_BREAK]") * down
    return rows.removesuffix("[IMG_BREAK]") + "[IMG_END]"


def _pixtral_patches(settings: Settings, size: Size) -> int:
    return int(math.prod(grids.pixtral(settings, size)) * (settings.get("spatial_merge_size") or 1) ** 2)


def _idefics3(settings: Settings, size: Size) -> str:
    rows, columns = grids.idefics3(settings, size)
    around, soft = "<fake_token_around_image>", "<image>" * (settings.get("image_seq_len") or 169)
    lines = [
        "".join(f"{around}<row_{row + 1}_col_{column + 1}>{soft}" for column in range(columns)) + "\n"
        for row in range(rows)
    ]
    return "".join(lines) + ("\n" if rows else "") + f"{around}<global-img>{soft}{around}"


def _idefics3_patches(settings: Settings, size: Size) -> int:
    tiles = math.prod(grids.idefics3(settings, size)) + 1
    return int(tiles * (grids.idefics3_tile(settings) // _tower_patch(settings)) ** 2)


def _idefics3_bound(settings: Settings, max_pixels: int) -> dict[str, Any]:
    tile = grids.idefics3_tile(settings)
    return {"size": {"longest_edge": max(1, math.isqrt(max_pixels) // tile) * tile}}


def _internvl_views(settings: Settings, size: Size) -> int:
    """The tiles of a picture, and the whole of it once more where there are several."""
    tiles = math.prod(grids.internvl(settings, size))
    return tiles + (tiles > 1)


def _internvl(settings: Settings, size: Size) -> str:
    tokens = (settings.get("image_seq_length") or 256) * _internvl_views(settings, size)
    return f"<img>{'<IMG_CONTEXT>' * tokens}</img>"


def _internvl_patches(settings: Settings, size: Size) -> int:
    return int(_internvl_views(settings, size) * (grids.internvl_tile(settings) // _tower_patch(settings)) ** 2)


def _of_patches(grid: Callable[[Settings, Size], Size]) -> Callable[[Settings, Size], int]:
    return lambda settings, size: math.prod(grid(settings, size))


def _frame(tower: Settings) -> dict[str, int]:
    """The square to which a tower of one size has pictures scaled."""
    edge = grids.side(tower.get("tower_image_size"), 336)
    return {"height": edge, "width": edge}


def _released_tiles(tower: Settings) -> Settings:
    """Idefics3 and SmolVLM: tiles as large as the tower takes, four of them along a picture."""
    tile, merge = grids.side(tower.get("tower_image_size"), 364), tower.get("tower_merge") or 2
    return {
        "max_image_size": {"longest_edge": tile},
        "size": {"longest_edge": 4 * tile},
        "image_seq_len": int((tile // _tower_patch(tower)) ** 2 // merge**2),
    }


_TURNED_IN_FP32 = (18, 3)
"""Where positions are turned into queries and keys in fp32."""
_GEMMA3 = Family(
    "<start_of_image>",
    "<image_soft_token>",
    _gemma3,
    lambda settings, size: grids.square(settings, _tower_patch(settings)),
    released=lambda tower: {"size": _frame(tower)},
    merge=("", 4),
    alive=(8, 2),
)
_GEMMA4 = Family(
    "<|image|>",
    "<|image|>",
    _gemma4,
    _gemma4_patches,
    _gemma4_bound,
    merge=("vision_config.pooling_kernel_size", 3),
    alive=(10, 3),
)
_GLM = Family(
    "<|image|>",
    "<|image|>",
    _merged("<|image|>", grids.glm),
    _of_patches(grids.glm),
    _area_of_frames,
    merge=("vision_config.spatial_merge_size", 2),
    alive=_TURNED_IN_FP32,
)
_IDEFICS3 = Family(
    "<image>",
    "<image>",
    _idefics3,
    _idefics3_patches,
    _idefics3_bound,
    _released_tiles,
    ("scale_factor", 2),
    (8, 2),
)
_INTERNVL = Family(
    "<IMG_CONTEXT>",
    "<IMG_CONTEXT>",
    _internvl,
    _internvl_patches,
    lambda settings, max_pixels: {"max_patches": max(1, max_pixels // grids.internvl_tile(settings) ** 2)},
    lambda tower: {"size": _frame(tower)},
    ("downsample_ratio", 0.5),
    (8, 2),
)
_LLAVA = Family(
    "<image>",
    "<image>",
    _llava,
    _llava_patches,
    released=lambda tower: {
        "crop_size": _frame(tower),
        "patch_size": _tower_patch(tower),
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
    },
)
_PIXTRAL = Family(
    "[IMG]",
    "[IMG]",
    _pixtral,
    _pixtral_patches,
    lambda settings, max_pixels: {"size": {"longest_edge": math.isqrt(max_pixels)}},
    alive=(12, 3),
)
_QWEN = Family(
    "<|image_pad|>",
    "<|image_pad|>",
    _merged("<|image_pad|>", grids.qwen),
    _of_patches(grids.qwen),
    _area,
    lambda tower: {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 16_384},
    ("vision_config.spatial_merge_size", 2),
    _TURNED_IN_FP32,
)
_QWEN3 = _QWEN._replace(
    released=lambda tower: {"patch_size": 16, "min_pixels": 256 * 256, "max_pixels": 4096 * 4096},
    alive=(20, 3),
)

FAMILIES: dict[str, Family] = {
    "gemma3": _GEMMA3,
    "gemma4": _GEMMA4,
    "glm46v": _GLM,
    "glm4v": _GLM,
    "glm4v_moe": _GLM,
    "idefics3": _IDEFICS3,
    "internvl": _INTERNVL,
    "llava": _LLAVA,
    "llava+pixtral": _PIXTRAL,
    "mistral3": _PIXTRAL._replace(
        released=lambda tower: {"size": {"longest_edge": 1540}, "patch_size": 14, "spatial_merge_size": 2},
        merge=("spatial_merge_size", 2),
    ),
    "qwen2_5_vl": _QWEN,
    "qwen2_vl": _QWEN,
    "qwen3_5": _QWEN3,
    "qwen3_5_moe": _QWEN3,
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
    "smolvlm": _IDEFICS3,
}
"""`model_type`, or `model_type` and that of its tower -> how it shows a picture."""


_QWEN2_ELSEWHERE = {"axolotl": "qwen2_vl", "llamafactory": "qwen2_vl", "ms-swift": ""}
_QWEN3_ELSEWHERE = {"axolotl": "qwen2_vl", "llamafactory": "qwen3_vl_nothink", "ms-swift": ""}
_QWEN3_5_ELSEWHERE = {"axolotl": "qwen3_5", "llamafactory": "qwen3_5", "ms-swift": ""}
ELSEWHERE: dict[str, dict[str, str]] = {
    "gemma3": {"axolotl": "gemma3", "llamafactory": "gemma3", "ms-swift": ""},
    "gemma4": {"axolotl": "gemma4", "llamafactory": "gemma4", "ms-swift": ""},
    "glm46v": {"axolotl": "tokenizer_default"},
    "glm4v": {"axolotl": "tokenizer_default", "llamafactory": "glm4v", "ms-swift": ""},
    "glm4v_moe": {"llamafactory": "glm4_5v", "ms-swift": ""},
    "idefics3": {"ms-swift": ""},
    "internvl": {"axolotl": "tokenizer_default", "llamafactory": "intern_vl", "ms-swift": ""},
    "llava": {"llamafactory": "llava", "ms-swift": ""},
    "llava+pixtral": {"axolotl": "pixtral", "llamafactory": "pixtral", "ms-swift": ""},
    "mistral3": {"axolotl": "mistral_v7_tekken", "llamafactory": "mistral_small", "ms-swift": ""},
    "qwen2_5_vl": _QWEN2_ELSEWHERE,
    "qwen2_vl": _QWEN2_ELSEWHERE,
    "qwen3_5": _QWEN3_5_ELSEWHERE,
    "qwen3_5_moe": _QWEN3_5_ELSEWHERE,
    "qwen3_vl": _QWEN3_ELSEWHERE,
    "qwen3_vl_moe": _QWEN3_ELSEWHERE,
    "smolvlm": {"axolotl": "tokenizer_default"},
}
"""As FAMILIES -> exporter -> the chat template by which that tool shows pictures and learns answers alone; "" where
it chooses by itself. Read in Axolotl 0.19 and its documentation, LLaMA-Factory 0.9.5, ms-swift 4.6.0."""


def family_of(model_type: str | None, tower: str | None) -> Family | None:
    """How a family shows a picture to a tower of this kind; None for one whose pictures are not trained on here."""
    return FAMILIES.get(f"{model_type}+{tower}") or FAMILIES.get(model_type or "")


def template_elsewhere(model_type: str | None, tower: str | None, exporter: str) -> str | None:
    """What another tool calls the template of this family, as ELSEWHERE; None where it cannot train its pictures."""
    names = ELSEWHERE.get(f"{model_type}+{tower}") or ELSEWHERE.get(model_type or "", {})
    return names.get(exporter)


def look_of(model_type: str | None, settings: Settings) -> Look | None:
    """The eyes of a checkpoint with these settings; None for a family whose pictures are not trained on here."""
    family = family_of(model_type, settings.get("tower"))
    if family is None:
        return None
    stated = {name: value for name, value in settings.items() if value is not None}
    if all(name.startswith("tower") for name in stated):
        stated = {**family.released(stated), **stated}
    return Look(family, stated)


def settings_of(processor: Settings, image_processor: Settings, tower: Settings) -> Settings:
    """processor_config.json and preprocessor_config.json as one; the latter's values where both state one. `tower`:
    what the config says of its tower, its kind as "tower" and each size with "tower_" before its name.
    """
    inner = processor.get("image_processor")
    pixels = image_processor or (inner if isinstance(inner, Mapping) else {})
    own = {name: value for name, value in processor.items() if not isinstance(value, Mapping)}
    return {**pixels, **own, **tower}
