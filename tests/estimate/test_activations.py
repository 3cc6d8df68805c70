"""What one block keeps, against closed forms that real modules gave to the byte."""

from __future__ import annotations

import pytest

from advisor.estimate.activations import Switches, adapter_copies, block_kept, selectively_kept, weight_copies
from advisor.estimate.delta_rule import chunked_delta_rule
from advisor.estimate.dims import block_dims
from advisor.estimate.tape import Tape
from advisor.model.families import spec_from_config
from tests.estimate.shapes import model

FULL = Switches(compute=2, stream=2, autocast=False, base_trains=True, lora_targets=None)
LORA = FULL._replace(base_trains=False, lora_targets=frozenset(), all_linear=True, rank=16)


def dims(name: str):
    spec = model(name)
    return block_dims(spec, spec.layers[0])


@pytest.mark.parametrize(
    ("name", "full", "lora"), [("Llama-3.1-8B", 200_840, 295_496), ("Llama-3.2-1B", 108_680, 158_280)]
)
def test_bf16_blocks_keep_what_the_tracker_saw(name, full, lora):
    assert block_kept(dims(name), FULL, 2048).saved == full
    assert block_kept(dims(name), LORA, 2048).saved == lora


def test_autocast_adds_casts_and_copies_of_weights():
    eight = dims("Llama-3.1-8B")
    mixed = LORA._replace(autocast=True)
    kept = block_kept(eight, mixed, 2048).saved + adapter_copies(eight, mixed) // 2048
    assert kept == 218_728
    wide = FULL._replace(autocast=True, stream=4)
    kept = block_kept(eight, wide, 2048).saved + weight_copies(eight, wide, 4) // 2048
    assert kept == 454_792


def test_eager_attention_grows_with_the_keys_and_flash_does_not():
    eight = dims("Llama-3.1-8B")
    eager = LORA._replace(attention="eager")
    difference = block_kept(eight, eager, 4096).saved - block_kept(eight, eager, 2048).saved
    assert difference == 32 * 2048 * (4 + 2)
    assert block_kept(eight, LORA, 4096) == block_kept(eight, LORA, 2048)


def test_fused_kernels_keep_less():
    eight = dims("Llama-3.1-8B")
    fused = LORA._replace(norm_kernel="fused", mlp_kernel="fused", lora_kernel="fused")
    assert block_kept(eight, fused, 2048).saved < block_kept(eight, LORA, 2048).saved // 2


def test_selective_checkpointing_lies_between_boundary_and_everything():
    eight = dims("Llama-3.1-8B")
    assert 2 * 4096 < selectively_kept(eight, FULL) < block_kept(eight, FULL, 2048).saved


def test_experts_in_a_loop_have_gradients_one_at_a_time():
    sparse = dims("Mixtral-8x7B-Instruct-v0.1")
    together, looped = (block_kept(sparse, LORA._replace(expert_loop=loop), 2048) for loop in (False, True))
    assert together.saved == looped.saved
    assert together.worst > looped.worst


def test_a_tensor_saved_twice_counts_once_and_is_freed_last():
    tape = Tape()
    tape.note({"x": 10}, live=1)
    tape.note({"x": 10, "y": 5}, live=3)
    kept = tape.close()
    assert kept.saved == 15
    assert kept.worst == 18


def test_a_tensor_kept_outside_autograd_s_care_stays_to_the_end_of_the_block():
    def worst(held: bool) -> int:
        tape = Tape()
        tape.note({"early": 4}, live=20)
        tape.note({"late": 10}, live=0)
        if held:
            tape.hold("late")
        return tape.close().worst

    assert (worst(held=False), worst(held=True)) == (24, 34)


def test_a_quantised_product_that_keeps_its_input_holds_the_product_of_the_feed_forward_part():
    eight = dims("Llama-3.1-8B")
    fused = LORA._replace(lora_kernel="fused", all_linear=False, lora_targets=frozenset(("q_proj", "v_proj")))
    plain, keeping = (block_kept(eight, fused._replace(keeps_inputs=keeps), 2048) for keeps in (False, True))
    assert keeping.saved - plain.saved == 2 * (4096 + 14336)
    assert keeping.worst - plain.worst == 2 * (4096 + 14336)


def test_dora_keeps_the_base_s_output_and_the_update():
    eight = dims("Llama-3.1-8B")
    some = LORA._replace(all_linear=False, lora_targets=frozenset(("q_proj", "v_proj")))
    more = block_kept(eight, some._replace(dora=True), 2048).saved - block_kept(eight, some, 2048).saved
    assert more == (2 + 4) * (4096 + 1024)


def test_xielu_written_out_keeps_its_steps():
    spec = spec_from_config(
        {
            "model_type": "apertus",
            "hidden_size": 512,
            "intermediate_size": 1408,
            "num_hidden_layers": 1,
            "num_attention_heads": 8,
            "vocab_size": 1024,
        }
    )
    assert spec.traits.xielu
    one = block_dims(spec, spec.layers[0])
    for on, steps in ((FULL, 3), (LORA, 2)):
        more = block_kept(one, on._replace(xielu=True), 256).saved - block_kept(one, on, 256).saved
        assert more == 1408 * (2 * steps + 1)


def test_the_gated_delta_rule_keeps_more_than_its_projections():
    spec = model("Qwen3-Next-80B-A3B-Instruct")
    group = next(group for group in spec.layers if group.delta is not None)
    assert group.delta is not None
    kept = chunked_delta_rule(group.delta).kept
    keys, values, heads = 32 * 128, 32 * 128, 32
    assert kept == 8 * keys + 3 * values + 5 * heads * 64 + heads * 128 * 128 // 64
    assert block_kept(block_dims(spec, group), FULL, 2048).saved > 4 * kept
