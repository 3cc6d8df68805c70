"""What one block keeps, against closed forms that real modules gave to the byte."""

from __future__ import annotations

import pytest

from advisor.estimate.activations import Switches, adapter_copies, block_kept, selectively_kept, weight_copies
from advisor.estimate.dims import block_dims
from advisor.estimate.tape import Tape
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
