"""Parts for images and sound: counted as transformers' modules hold them, for every family and for the catalogue."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from advisor.model.catalog import entries
from advisor.model.families import spec_from_config
from advisor.model.towers import form_of, forms, is_tied
from tests.model.polynomials import twice
from tests.model.tower_parts import Probe, outside_language, tied, whole_model

SAMPLE = ["gemma3", "qwen3_vl", "llava+pixtral", "mllama"]
EYES = sorted(slug for slug, entry in entries().items() if b"vision_config" in bytes(entry.config))
OF_EACH_FAMILY = sorted({json.loads(bytes(entries()[slug].config))["model_type"]: slug for slug in EYES}.values())


def counted(model: Any) -> dict[str, int]:
    """Part -> its parameters, read off the modules."""
    found: Counter[str] = Counter()
    for name, module, key in outside_language(model):
        steps = name.split(".")
        found[".".join(steps[: 2 if steps[0] == "model" and len(steps) > 1 else 1])] += getattr(module, key).numel()
    return dict(found)


def said(config: Any) -> dict[str, int]:
    """Part -> its parameters, as the polynomials say."""
    from advisor.model.towers import towers_of

    raw = json.loads(config.to_json_string(use_diff=False))
    form = form_of(raw)
    assert form is not None
    towers = towers_of(form, raw, config.get_text_config().hidden_size)
    assert towers is not None
    return {tower.path: tower.params for tower in towers}


def agrees(row: str) -> None:
    model_type, _, vision = row.partition("+")
    probe = Probe(model_type, vision or None)
    assert said(probe.config) == counted(whole_model(probe.config))
    form = msgspec.json.decode(forms()[row])
    sizes = [field for field in form["defaults"] if not isinstance(form["defaults"][field], bool | str)][:3]
    values = dict(probe.fields())
    for field in sizes:
        changed = probe.changed(field, twice(values[field]))
        assert said(changed) == counted(whole_model(changed)), field


@pytest.mark.parametrize("row", SAMPLE)
def test_the_parts_hold_what_transformers_builds(row: str) -> None:
    agrees(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", sorted(forms()))
def test_every_family_holds_what_transformers_builds(row: str) -> None:
    agrees(row)


@pytest.mark.parametrize("slug", [*OF_EACH_FAMILY[::4], "smolvlm2-500m-video-instruct"])
def test_a_model_with_eyes_is_counted_as_the_class_for_the_whole_model(slug: str) -> None:
    equals_transformers(slug)


@pytest.mark.slow
@pytest.mark.parametrize("slug", EYES)
def test_every_model_with_eyes_is_counted_as_the_class_for_the_whole_model(slug: str) -> None:
    equals_transformers(slug)


def equals_transformers(slug: str) -> None:
    from transformers import AutoConfig

    raw = json.loads(bytes(entries()[slug].config))
    config = AutoConfig.for_model(**raw)
    model = whole_model(config)
    spec = spec_from_config(raw, slug)
    assert spec.num_params == sum(parameter.numel() for parameter in model.parameters())
    assert {tower.path: tower.params for tower in spec.towers} == counted(model)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    assert spec.tie_word_embeddings == (head.weight is embedding.weight)


def test_the_flags_of_whole_and_text_part_decide_together_what_is_tied() -> None:
    """Gemma 3 goes by the whole model's flag, Qwen2-VL by either, Llama 4 by its text part's."""
    for model_type in ("gemma3", "qwen2_vl", "llama4"):
        form = form_of({"model_type": model_type})
        assert form is not None and form.tied is not None
        assert list(form.tied) == tied(Probe(model_type))
        assert is_tied(form, None, True, False) == form.tied[0]
        assert is_tied(form, False, None, True) == form.tied[4]


def test_a_model_without_its_audio_part_is_counted_without_it() -> None:
    config = json.loads(bytes(entries()["gemma-4-31b-it"].config))
    paths = {tower.path for tower in spec_from_config(config).towers}
    assert paths == {"model.vision_tower", "model.embed_vision"}


def test_a_size_that_is_no_size_leaves_the_parts_uncounted_and_says_so() -> None:
    config = json.loads(bytes(entries()["gemma-3-4b-it"].config))
    config["vision_config"]["hidden_size"] = "wide"
    spec = spec_from_config(config)
    assert not spec.known
    assert any("not counted" in note for note in spec.notes)


def test_parts_of_a_family_that_is_not_known_are_not_guessed() -> None:
    config = json.loads(bytes(entries()["gemma-3-4b-it"].config)) | {"model_type": "brandnew"}
    assert not spec_from_config(config).known
