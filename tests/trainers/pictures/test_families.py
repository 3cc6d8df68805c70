"""How many tokens a picture becomes: our arithmetic against transformers' processors, on pictures of any shape."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.families_that_see import FAMILIES as TINY
from tests.trainers.families_that_see import NEEDS, build
from tests.trainers.plans import full_plan
from trainers.pictures.families import FAMILIES, look_of, settings_of
from trainers.pictures.opening import Size


def sizes(count: int = 40) -> list[Size]:
    choice = random.Random(7)
    drawn = [Size(choice.randint(4, 900), choice.randint(4, 900)) for _ in range(count)]
    return [*drawn, Size(28, 28), Size(2, 150), Size(1000, 10), Size(56, 28), Size(84, 84)]


def test_every_family_is_walked() -> None:
    assert TINY.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", sorted(TINY))
def test_the_arithmetic_writes_what_the_processor_writes(family: str, tmp_path: Path, tiny_model: Path) -> None:
    from trainers.methods.models import load_tokenizer
    from trainers.methods.processor import load_processor
    from trainers.training.sight import Sight

    if family in NEEDS:
        pytest.importorskip(NEEDS[family])

    folder = build(family, tiny_model, tmp_path / "base")
    plan = full_plan(model={"name": str(folder)}, reads_images=True)
    sight = Sight(load_processor(plan, load_tokenizer(plan)))
    stated, config = (json.loads((folder / name).read_text()) for name in ("processor_config.json", "config.json"))
    tower = {
        "tower": config["vision_config"]["model_type"],
        "tower_patch_size": config["vision_config"]["patch_size"],
    }
    look = look_of(config["model_type"], settings_of(stated, {}, tower))
    assert look is not None
    assert look.mark == sight.mark
    assert [look.written(size) for size in sizes()] == [sight.written(size) for size in sizes()]
    for size in sizes(5):
        pixels = sight._processed([[_blank(size)]], return_tensors="pt")
        assert look.patches(size) == _patches(family, pixels), size


def _blank(size: Size) -> Any:
    from PIL import Image

    return Image.new("RGB", (size.width, size.height))


def _patches(family: str, inputs: Any) -> int:
    if "image_grid_thw" in inputs:
        return int(inputs["image_grid_thw"].prod())
    if "image_sizes" in inputs:
        return sum(int(height // 14 * (width // 14)) for height, width in inputs["image_sizes"])
    if "image_position_ids" in inputs:
        return int(inputs["image_position_ids"].shape[:-1].numel())
    height, width = inputs["pixel_values"].shape[-2:]
    count = inputs["pixel_values"].shape[:-3].numel()
    return int(count * (height // 14) * (width // 14))


@pytest.mark.parametrize(
    ("family", "settings", "size", "tokens"),
    [
        (
            "qwen2_5_vl",
            {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 1003520},
            (1000, 1000),
            1225,
        ),
        (
            "qwen2_vl",
            {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056},
            (1024, 1024),
            1369,
        ),
        ("gemma3", {"image_seq_length": 256}, (3000, 200), 256),
        (
            "llava",
            {
                "crop_size": {"height": 336, "width": 336},
                "patch_size": 14,
                "num_additional_image_tokens": 1,
                "vision_feature_select_strategy": "default",
            },
            (640, 480),
            576,
        ),
        (
            "smolvlm",
            {"image_seq_len": 64, "size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
            (1024, 1024),
            64 * 17,
        ),
    ],
)
def test_released_settings_give_the_published_numbers(
    family: str, settings: dict[str, Any], size: tuple[int, int], tokens: int
) -> None:
    look = look_of(family, settings)
    assert look is not None
    soft = {"gemma3": "<image_soft_token>"}.get(family, look.mark)
    assert look.written(Size(*size)).count(soft) == tokens


def test_a_limit_on_pixels_is_kept_where_the_family_takes_one() -> None:
    large = Size(2000, 3000)
    for name, family in FAMILIES.items():
        look = look_of(name, {})
        assert look is not None
        fewer = look.bounded(600_000).tokens(large) < look.tokens(large)
        assert fewer == (family.bound is not None), name
    assert look_of("llama", {}) is None
