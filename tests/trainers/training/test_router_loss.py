"""Experts are counted for TRL under the name that it reads, and the configuration is as it was afterwards."""

import pytest
from transformers import AutoConfig

from trainers.training.router_loss import experts_counted


def test_a_family_with_another_name_is_counted_and_left_as_it_was() -> None:
    config = AutoConfig.for_model("granitemoehybrid", num_local_experts=4)
    before = config.to_dict()
    with pytest.raises(RuntimeError, match="a step failed"), experts_counted(config):
        assert config.num_experts == 4
        raise RuntimeError("a step failed")
    assert not hasattr(config, "num_experts")
    assert config.to_dict() == before


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss", "llama"])
def test_others_are_not_touched(family: str) -> None:
    config = AutoConfig.for_model(family)
    before = config.to_dict()
    with experts_counted(config):
        assert config.to_dict() == before
