"""What is not refused is built: every catalogue model and every model_type of transformers, by the trainer's class.

Configs that transformers refuses itself are passed by: nobody has such a checkpoint.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from advisor.base.errors import AdvisorError
from advisor.model.catalog import entries
from advisor.model.families import spec_from_config
from advisor.model.spec import ModelSpec
from advisor.model.use import refusal

SAMPLE = ["gemma-3-4b-it", "qwen3-0.6b", "gpt-oss-20b", "granite-4.0-h-1b", "qwen3.5-0.8b"]
CLOSE = 5e-5
OFF = {"bailing_hybrid"}
"""Its class writes another head_dim than it was given, so that its own file does not describe it."""


def trainable(raw: dict[str, Any], name: str) -> ModelSpec | None:
    """The shape, None where it is refused."""
    try:
        spec = spec_from_config(raw, name)
    except AdvisorError:
        return None
    return None if refusal(spec) else spec


def agrees(config: Any, spec: ModelSpec) -> bool:
    """Whether the class that trains builds this, with the parameters of the whole or of its text part alone."""
    from trainers.methods.towers import skeleton

    real = sum(parameter.numel() for parameter in skeleton(config).parameters())
    return any(abs(said / real - 1) < CLOSE for said in (spec.num_params, spec.language_params))


def catalogue_model_agrees(slug: str) -> None:
    from transformers import AutoConfig

    raw = json.loads(bytes(entries()[slug].config))
    if spec := trainable(raw, slug):
        assert agrees(AutoConfig.for_model(**raw), spec)


@pytest.mark.parametrize("slug", SAMPLE)
def test_a_catalogue_model_that_is_not_refused_is_built(slug: str) -> None:
    catalogue_model_agrees(slug)


@pytest.mark.slow
@pytest.mark.parametrize("slug", sorted(entries()))
def test_every_catalogue_model_that_is_not_refused_is_built(slug: str) -> None:
    catalogue_model_agrees(slug)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_model_type_that_is_not_refused_is_built_and_counted() -> None:
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    wrong, built = [], 0
    for model_type in sorted(CONFIG_MAPPING_NAMES):
        try:
            config = CONFIG_MAPPING[model_type]()
        except Exception:  # noqa: BLE001 - the class wants values that only a checkpoint has
            continue
        spec = trainable(json.loads(config.to_json_string(use_diff=False)), model_type)
        if spec is None:
            continue
        assert spec.known or "switch" in " ".join(spec.notes), f"{model_type} would be recommended on a guess"
        try:
            right = agrees(config, spec)
        except Exception:  # noqa: BLE001 - transformers cannot build its own defaults
            continue
        built += right
        wrong += [] if right or model_type in OFF else [model_type]
    assert wrong == []
    assert built > 120
