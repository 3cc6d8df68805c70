"""A class that has no SDPA is planned without it, and its plan loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.model.families import spec_from_config
from advisor.model.kernels import lacking
from tests.model import attention_kernels


def test_the_table_is_that_of_the_installed_transformers() -> None:
    assert attention_kernels.TARGET.read_text() == attention_kernels.encoded(), (
        "run: python -m tests.model.attention_kernels"
    )
    assert {"gpt_oss", "gemma2"} <= lacking().sdpa
    assert "llama" not in lacking().sdpa | lacking().flash2


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss", "llama"])
def test_a_listed_class_refuses_the_kernel_that_it_lacks_and_loads_without(family: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    small: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 99}
    config = AutoConfig.for_model(family, **small, num_key_value_heads=2, head_dim=16, intermediate_size=64)
    AutoModelForCausalLM.from_config(config).save_pretrained(str(tmp_path))
    lacks = family in lacking().sdpa
    assert spec_from_config(json.loads((tmp_path / "config.json").read_text())).traits.no_sdpa == lacks
    if lacks:
        with pytest.raises(ValueError, match="scaled_dot_product_attention"):
            AutoModelForCausalLM.from_pretrained(str(tmp_path), attn_implementation="sdpa")
    AutoModelForCausalLM.from_pretrained(str(tmp_path), attn_implementation="eager" if lacks else "sdpa")
