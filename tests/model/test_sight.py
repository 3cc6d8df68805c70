"""How models that are only named look at pictures: by their config and the settings of their family's releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.data.eyes import eyes_of
from advisor.model.catalog import entries, from_catalog, short_name
from trainers.pictures.opening import Size


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [
        ("Qwen2.5-VL-7B-Instruct", (1000, 1000), 36 * 36),
        ("Qwen3-VL-8B-Instruct", (1024, 1024), 32 * 32),
        ("gemma-3-4b-it", (3000, 200), 256),
        ("gemma-4-31B-it", (1000, 1000), 16 * 16),
        ("SmolVLM2-2.2B-Instruct", (1024, 1024), 81 * 17),
        ("InternVL3_5-8B-HF", (448, 448), 256),
        ("llava-1.5-7b-hf", (640, 480), 576),
        ("Mistral-Small-3.1-24B-Instruct-2503", (1540, 1540), 55 * 55),
    ],
)
def test_a_model_that_is_only_named_sees(
    name: str, size: tuple[int, int], tokens: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))  # nothing was downloaded
    look = eyes_of(from_catalog(name))
    assert look is not None
    assert look.tokens(Size(*size)) == tokens


def test_patches_are_as_many_tokens_as_the_config_says() -> None:
    seeing = [
        spec
        for entry in entries().values()
        if (spec := from_catalog(short_name(entry.hub))) and spec.eyes is not None
    ]
    assert len(seeing) > 10
    for spec in seeing:
        look, eyes = eyes_of(spec), spec.eyes
        assert look is not None and eyes is not None
        size = Size(2 * 4 * eyes.patch_size * eyes.merge, 2 * 4 * eyes.patch_size * eyes.merge)
        padded = look.family.mark == "<|image|>" and eyes.merge == 3  # Gemma 4 fills every picture up
        assert padded or look.patches(size) == look.tokens(size) * eyes.merge**2, spec.name
        assert eyes.hidden_size and eyes.intermediate_size, spec.name
    assert from_catalog("Qwen3-8B").eyes is None  # type: ignore[union-attr]
