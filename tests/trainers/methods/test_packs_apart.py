"""Packed rows against the same rows apart: TRL's collator, transformers' masks, a tiny model of each family."""

from __future__ import annotations

from typing import Any

import pytest

from trainers.packs_apart import SEEN_APART

LENGTHS = (17, 60, 33, 120, 9, 41)
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 500,
    "max_position_embeddings": 512,
    "sliding_window": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ALIKE = 1e-5
"""Relative difference of fp32 sums in another order."""


def differences(family: str, attention: str) -> tuple[float, float]:
    """(loss, gradients): relative difference between packed and apart."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    usual = AutoConfig.for_model(family)
    shape = {key: value for key, value in SHAPE.items() if hasattr(usual, key)}
    config = AutoConfig.for_model(family, **shape)
    torch.manual_seed(0)
    return apart(AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval())


def apart(model: Any) -> tuple[float, float]:
    """(loss, gradients) of this model: relative difference between packed and apart."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = [torch.randint(3, 500, (length,)).tolist() for length in LENGTHS]

    def trained(packed: bool) -> tuple[Any, Any]:
        collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=packed)
        batch = collate([{"input_ids": row, "labels": [-100] * 5 + row[5:]} for row in rows])
        model.zero_grad()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    (loss, gradients), (packed_loss, packed_gradients) = trained(False), trained(True)
    return (
        (abs(packed_loss - loss) / loss).item(),
        ((packed_gradients - gradients).norm() / gradients.norm()).item(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", sorted(SEEN_APART))
def test_a_listed_family_trains_packed_rows_as_if_they_were_apart(family: str, attention: str) -> None:
    assert max(differences(family, attention)) < ALIKE


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gemma3", "internvl", "mistral3", "smolvlm"])
def test_a_class_with_eyes_trains_packed_rows_as_the_listed_family_in_it_does(family: str) -> None:
    import torch

    from tests.trainers.families_with_eyes import config_of
    from trainers.methods.towers import auto_class, leave_out

    config = config_of(family, tie_word_embeddings=False)
    assert config.get_text_config().model_type in SEEN_APART
    torch.manual_seed(0)
    model = auto_class(config).from_config(config, attn_implementation="sdpa").float().eval()
    leave_out(model)
    assert max(apart(model)) < ALIKE


@pytest.mark.slow
def test_a_family_that_numbers_its_positions_itself_mixes_packed_rows_and_is_not_listed() -> None:
    assert max(differences("opt", "sdpa")) > 0.1
    assert "opt" not in SEEN_APART
