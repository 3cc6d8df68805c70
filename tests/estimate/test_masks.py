"""The default stack's mask: who gets one, what it costs, and that nobody else pays."""

from __future__ import annotations

import pytest

from advisor.estimate import Estimator, estimate_memory
from advisor.estimate.stacks import HF_TRAINER
from tests.estimate.shapes import model, plan

LLAMA = "Llama-3.1-8B"
LENGTH = 2048


def activations(name: str = LLAMA, **fields: object) -> int:
    chosen = plan("lora", max_seq_len=LENGTH, gradient_checkpointing=False, **fields)
    return {moment.phase: moment for moment in Estimator(model(name), chosen).moments()}["forward"].activations


def repeated_keys_and_values(tokens: int) -> int:
    return tokens * 32 * 2 * 2 * (4096 - 1024)


def test_padded_rows_keep_the_mask_in_every_block_and_repeat_keys_and_values():
    tokens = 2 * LENGTH
    mask, boolean = tokens * LENGTH * 2, tokens * LENGTH
    without = activations(micro_batch_size=2, attention="flash2")
    assert activations(micro_batch_size=2) - without == 32 * mask + boolean + repeated_keys_and_values(tokens)


def test_one_row_alone_has_no_padding_and_no_mask():
    assert activations(micro_batch_size=1) == activations(micro_batch_size=1, attention="flash2")


def test_packed_rows_lie_end_to_end_so_that_a_token_meets_the_keys_of_all():
    tokens = 2 * LENGTH
    padded, packed = (activations(micro_batch_size=2, packing=packing) for packing in (False, True))
    assert packed - padded == (32 * 2 + 1) * tokens * (tokens - LENGTH)
    assert activations(micro_batch_size=1, packing=True) > activations(micro_batch_size=1)


def test_a_window_shorter_than_the_row_is_masked_even_in_one_row_alone():
    alone = {"micro_batch_size": 1, "attention": "sdpa"}
    chosen = plan("lora", max_seq_len=8192, gradient_checkpointing=False, **alone)
    gemma = Estimator(model("gemma-2-2b"), chosen)
    assert gemma.blocks(2048, 1).masked == 0
    windowed = sum(group.count for group in model("gemma-2-2b").layers if group.sliding_window)
    assert 0 < gemma.blocks(8192, 1).masked == windowed


def test_checkpointing_holds_the_mask_of_one_block():
    def worst(attention: str) -> int:
        chosen = plan("lora", max_seq_len=LENGTH, micro_batch_size=2, attention=attention)
        return Estimator(model(LLAMA), chosen).moments()[2].activations

    tokens = 2 * LENGTH
    more = worst("sdpa") - worst("flash2")
    assert more < 32 * tokens * LENGTH * 2 / 4
    assert more >= tokens * LENGTH * (2 + 1)


def test_other_stacks_are_not_masked_by_the_rule_of_ours():
    chosen = plan("lora", micro_batch_size=4)
    assert Estimator(model(LLAMA), chosen, HF_TRAINER).blocks(LENGTH, 4).masked == 0


@pytest.mark.parametrize("kernel", ["full", "liger"])
def test_the_loss_is_in_tiles_whatever_the_loss_kernel(kernel):
    tiled, other = (
        Estimator(model(LLAMA), plan("qlora", micro_batch_size=4, max_seq_len=4096, loss_kernel=name))
        for name in ("chunked", kernel)
    )
    assert [moment.logits for moment in tiled.moments()] == [moment.logits for moment in other.moments()]


def test_liger_s_layers_are_credited_where_it_has_the_family():
    def saved(name: str, kernel: str) -> int:
        chosen = plan("lora", micro_batch_size=2, loss_kernel=kernel)
        return Estimator(model(name), chosen).blocks(LENGTH).saved

    assert saved("Qwen3-8B", "liger") < 0.9 * saved("Qwen3-8B", "chunked")
    assert saved("gpt2", "liger") == saved("gpt2", "chunked")


def test_what_fsdp_widens_is_said():
    chosen = plan("full", sharding="fsdp", num_gpus=4, weights_dtype="bf16")
    assert any("fp32 under mixed precision" in text for text in estimate_memory(model(LLAMA), chosen).assumptions)
    wide = plan("full", sharding="fsdp", num_gpus=4, weights_dtype="fp32")
    assert not any("fp32 under mixed" in text for text in estimate_memory(model(LLAMA), wide).assumptions)
