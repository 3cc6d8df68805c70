"""What a vision tower works with, against torch's memory tracker on the real modules."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.estimate.looking import looking
from advisor.estimate.memory import Estimator
from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec
from tests.estimate.shapes import plan
from tests.trainers.families_that_see import FAMILIES

HIDDEN, INNER, GRID, HEADS = 512, 1024, 8, 8
FAMILIES_SEEN = ("gemma3", "gemma4", "idefics3", "internvl", "llava", "qwen2_5_vl", "qwen3_vl")


def _config(family: str) -> Any:
    """The tiny checkpoint's configuration with a tower wide enough to see its parts apart."""
    from transformers import AutoConfig

    tiny = FAMILIES[family].config
    stated = {key: dict(value) if isinstance(value, dict) else value for key, value in tiny.items()}
    stated["text_config"] |= {"vocab_size": 600}
    tower = stated["vision_config"]
    patch = tower["patch_size"]
    square = isinstance(patch, list)
    side = (patch[0] if square else patch) * GRID
    tower |= {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_heads": HEADS, "num_attention_heads": HEADS}
    tower |= {"head_dim": HIDDEN // HEADS, "embed_dim": HIDDEN, "image_size": [side, side] if square else side}
    tower |= {"num_position_embeddings": GRID**2} if "depth" in tower else {}
    if family == "gemma3":
        stated["mm_tokens_per_image"] = (GRID // 4) ** 2
    return AutoConfig.for_model(family, **stated, image_token_id=599, tie_word_embeddings=False)


def _inputs(family: str, patch: int) -> dict[str, Any]:
    """One square picture as the family's processor gives it."""
    import torch

    side, values = patch * GRID, 3 * patch**2
    if family.startswith("qwen"):
        grid = torch.tensor([[1, GRID, GRID]])
        return {"pixel_values": torch.rand(GRID**2, 2 * values), "image_grid_thw": grid}
    if family == "gemma4":
        places = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID))[None]
        return {"pixel_values": torch.rand(1, GRID**2, values), "image_position_ids": places}
    pixels = torch.rand(1, 3, side, side)
    return {"pixel_values": pixels[None] if family == "idefics3" else pixels}


def _seen(config: Any, inputs: dict[str, Any]) -> int:
    """The most bytes that live at once while the tower looks, beside weights and pixels."""
    import torch

    from tests.estimate.oracle import _total, _Tracker
    from trainers.methods.towers import auto_class

    model = auto_class(config).from_config(config).to(torch.bfloat16).eval()
    tracker = _Tracker()
    tracker.track_external(model, *inputs.values())
    look = getattr(model, "get_image_features", None) or model.model.get_image_features
    with torch.no_grad(), tracker:
        before = _total(tracker.get_tracker_snapshot("current"))
        look(**inputs)
    return _total(tracker.get_tracker_snapshot("peak")) - before


def _spec(config: Any) -> ModelSpec:
    return spec_from_config(config.to_dict())


@pytest.mark.parametrize("family", FAMILIES_SEEN)
def test_a_tower_at_work_holds_what_torch_s_tracker_sees(family: str) -> None:
    config = _config(family)
    spec = _spec(config)
    assert spec.eyes is not None
    tokens = GRID**2 // spec.eyes.merge**2
    told = looking(spec, plan("lora", reads_images=True), tokens, 2)
    seen = _seen(config, _inputs(family, spec.eyes.patch_size))
    assert 0.95 * seen <= told.work + tokens * spec.hidden_size * 2 <= 1.35 * seen


def test_pictures_take_memory_only_where_the_plan_reads_them() -> None:
    spec = _spec(_config("gemma3"))
    assert looking(spec, plan("lora"), 512, 2) == (0, 0)
    blind, seeing = (Estimator(spec, plan("lora", reads_images=reads)) for reads in (False, True))
    assert looking(spec, seeing.plan, 512, 2).work > 0
    for before, after in zip(blind.moments(2, 512)[1:4], seeing.moments(2, 512)[1:4], strict=True):
        assert after.activations > before.activations, after.phase
