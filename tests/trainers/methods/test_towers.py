"""Which modules text reaches, asked of the modules: every listed family runs a text-only batch under hooks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.estimate import shapes
from tests.trainers.families_with_eyes import SETTINGS, config_of
from trainers.errors import PlanRefused, RunError
from trainers.text_alone import TEXT_ALONE

BUILT_BY_DEFAULT = sorted(TEXT_ALONE - set(SETTINGS))


def reached(model: Any, **batch: Any) -> set[str]:
    """Names of the modules that this batch calls."""
    called: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, module in model.named_modules()
    ]
    model(**batch, use_cache=False)
    for hook in hooks:
        hook.remove()
    return called


def inside(names: set[str], tower: str) -> list[str]:
    return [name for name in names if name == tower or name.startswith(f"{tower}.")]


def tiny(family: str) -> Any:
    import torch

    from trainers.methods.towers import auto_class

    torch.manual_seed(0)
    config = config_of(family, tie_word_embeddings=False)
    return auto_class(config).from_config(config).float().eval()


def text() -> dict[str, Any]:
    import torch

    ids = torch.arange(5, 29).reshape(2, 12)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.slow
@pytest.mark.parametrize("family", BUILT_BY_DEFAULT)
def test_text_reaches_no_tower_of_a_listed_family(family: str) -> None:
    import torch
    from transformers import AutoConfig

    from trainers.methods.towers import skeleton, towers

    config = AutoConfig.for_model(family)
    config._attn_implementation = "eager"
    inner = config.get_text_config()
    if not getattr(inner, "layer_types", None):
        inner.num_hidden_layers = min(inner.num_hidden_layers, 4)
    model = skeleton(config).bfloat16().eval()
    ids = torch.arange(5, 13, device="meta")[None]
    called = reached(model, input_ids=ids, attention_mask=torch.ones_like(ids))
    assert towers(model)
    assert not [name for tower in towers(model) for name in inside(called, tower)]


@pytest.mark.parametrize("family", sorted(set(SETTINGS)))
def test_without_its_towers_a_model_answers_text_bit_for_bit_the_same(family: str) -> None:
    import torch

    from trainers.methods.towers import LeftOut, language_linears, leave_out, towers

    assert family in TEXT_ALONE
    model = tiny(family)
    unreached, called, linears = towers(model), reached(model, **text()), language_linears(model)
    assert not [name for tower in unreached for name in inside(called, tower)]
    assert set(linears) <= called, "a layer that gets an adapter gets a gradient"
    before = model(**text()).logits
    leave_out(model)
    assert all(isinstance(model.get_submodule(name), LeftOut) for name in unreached)
    assert torch.equal(before, model(**text()).logits)
    assert language_linears(model) == linears


def test_a_picture_that_comes_to_a_tower_that_was_left_out_ends_with_a_sentence() -> None:
    import torch

    from trainers.methods.towers import leave_out

    model = tiny("gemma3")
    leave_out(model)
    with pytest.raises(RunError, match="is not loaded"):
        model.model.vision_tower(torch.zeros(1, 3, 56, 56))


def test_a_language_model_has_no_tower_and_keeps_its_class() -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig

    from trainers.methods.towers import auto_class, skeleton, towers

    config = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4)
    assert auto_class(config) is AutoModelForCausalLM
    assert towers(skeleton(config)) == []


def test_names_that_a_tower_uses_too_are_adapted_in_the_language_model_alone() -> None:
    import re

    from trainers.methods.towers import adapter_targets

    model = tiny("gemma3")
    pattern = adapter_targets(model, ["q_proj", "down_proj"])
    hit = [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)]
    assert len(hit) == 4
    assert all(name.startswith("model.language_model.layers.") for name in hit)


def test_routers_get_no_adapter() -> None:
    import re

    from trainers.methods.towers import adapter_targets

    for family in ("llama4", "qwen3_vl_moe", "qwen3_5_moe", "glm4v_moe"):
        model = tiny(family)
        pattern = adapter_targets(model, ["all-linear"])
        hit = [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)]
        assert hit
        assert not [name for name in hit if name.endswith((".router", ".mlp.gate"))]


def test_a_router_that_is_a_linear_layer_stays_frozen_until_it_is_named() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from trainers.methods import lora

    def adapted(*targets: str) -> set[str]:
        shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_local_experts": 4}
        config = AutoConfig.for_model("phimoe", **shape, num_attention_heads=4, num_key_value_heads=2, vocab_size=64)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        trained = lora.trainable(model, shapes.plan("lora", lora_rank=2, lora_targets=targets))
        return {name.rpartition(".")[2] for name in trained.base_model.targeted_module_names}

    with pytest.raises(PlanRefused, match="router"):
        adapted("all-linear")
    assert adapted("q_proj", "v_proj") == {"q_proj", "v_proj"}
    assert adapted("q_proj", "router") == {"q_proj", "router"}
