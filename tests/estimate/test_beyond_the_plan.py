"""What stacks can say and no plan: split matrices, sequences and experts, parts that train, projected gradients."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from advisor.estimate import Estimator, estimate_memory
from advisor.estimate.split import expert_part, tensor_part
from advisor.estimate.stacks import DEEPSPEED, OURS, TORCHTITAN, UNSLOTH, Split, Stack
from advisor.estimate.trained import LowRank, Part, low_rank_states, part_values
from tests.estimate.shapes import model, plan

EIGHT = "Llama-3.1-8B"
EXPERTS = "Qwen3-30B-A3B"


def stack(base: Stack = TORCHTITAN, **fields: Any) -> Stack:
    return msgspec.structs.replace(base, **fields)


def parts(
    chosen: Stack, name: str = EIGHT, method: str = "full", phase: str = "backward", **fields: Any
) -> dict[str, int]:
    """Bytes by component in one phase."""
    estimate = estimate_memory(model(name), plan(method, **fields), stack=chosen)
    return next(dict(found.parts) for found in estimate.phases if found.phase == phase)


# --- how a run is split ------------------------------------------------------------------------------------------


def test_a_tensor_parallel_part_has_its_share_of_every_matrix_and_whole_norms():
    whole = model(EIGHT)
    part = tensor_part(whole, 4)
    assert part is tensor_part(whole, 4)
    norms = sum(group.count * group.norm_params for group in whole.layers) + whole.final_norm_params
    assert 4 * (part.num_params - norms) == whole.num_params - norms
    widths = {linear.name: (linear.in_features, linear.out_features) for linear in part.layers[0].linears}
    assert (widths["q_proj"], widths["o_proj"]) == ((4096, 1024), (1024, 4096))
    assert (widths["k_proj"], widths["down_proj"]) == ((4096, 256), (3584, 4096))


def test_tensor_parallelism_and_sharding_over_the_rest_leave_each_gpu_the_same_share_of_the_weights():
    shared = {"num_gpus": 8, "sharding": "fsdp"}
    plain, split = parts(stack(), **shared), parts(stack(split=Split(tensor=4)), **shared)
    for component in ("weights", "gradients", "optimizer_states"):
        assert split[component] == pytest.approx(plain[component], rel=0.001)
    assert split["buffers"] < 0.3 * plain["buffers"]


def test_a_sequence_over_several_gpus_leaves_each_its_part_of_the_tokens():
    long = {"num_gpus": 4, "sharding": "fsdp", "max_seq_len": 32_768, "phase": "forward"}
    whole = parts(stack(), **long)
    quarter = parts(stack(split=Split(context=4)), **long)
    alone = parts(stack(), **long | {"max_seq_len": 8192})
    assert quarter["activations"] == alone["activations"] == pytest.approx(whole["activations"] / 4, rel=0.01)
    assert quarter["weights"] == whole["weights"]


def test_experts_over_several_gpus_are_held_in_part():
    whole = model(EXPERTS)
    part = expert_part(whole, 8)
    experts = sum(g.count * ln.num_params for g in whole.layers for ln in g.linears if ln.role == "expert")
    assert whole.num_params - part.num_params == experts - experts // 8
    replicas = {"num_gpus": 8, "sharding": "ddp"}
    held = parts(stack(split=Split(expert=8)), EXPERTS, **replicas)["weights"]
    assert held == pytest.approx(part.num_params / whole.num_params * parts(stack(), EXPERTS, **replicas)["weights"])


def test_experts_that_stay_on_their_gpu_are_not_gathered_and_shards_stay_as_large():
    shared = {"num_gpus": 16, "sharding": "fsdp"}
    plain, split = (
        Estimator(model(EXPERTS), plan("full", **shared), stack(split=Split(expert=degree))).state.placed
        for degree in (1, 8)
    )
    assert split.weights == plain.weights
    assert plain.block / 8 < split.block < plain.block / 6


# --- what trains, and its states ---------------------------------------------------------------------------------


def test_lisa_holds_gradients_and_states_of_the_active_blocks_and_the_outer_matrices():
    shape, part = model(EIGHT), Part(blocks=2, outer=True)
    values = part_values(shape, part)
    assert values == 2 * shape.layers[0].num_params + shape.embedding_params + shape.head_params + 4096
    held = parts(stack(DEEPSPEED, part=part), phase="optimizer_step")
    assert held["gradients"] == 2 * values
    assert held["optimizer_states"] == pytest.approx(2 * 2 * values, rel=0.001)


def test_badam_holds_sixteen_bytes_for_each_value_of_one_block():
    """Luo et al. 2024, section 2: 2M + 16M/D for D blocks."""
    shape, part = model(EIGHT), Part(blocks=1, fp32_master=True)
    held = parts(stack(DEEPSPEED, part=part), phase="optimizer_step")
    block = shape.layers[0].num_params
    assert held["weights"] == 2 * shape.num_params
    assert held["gradients"] + held["optimizer_states"] == pytest.approx(16 * block, rel=0.001)


def test_frozen_blocks_keep_no_inputs_of_their_products():
    kept = {"gradient_checkpointing": False, "phase": "forward"}
    few, all_of_them = (parts(stack(part=Part(blocks=blocks)), **kept)["activations"] for blocks in (2, 32))
    assert few < 0.85 * all_of_them


def test_below_the_last_blocks_that_train_nothing_is_kept():
    """liu-008: ChatGLM2 with four blocks, nothing recomputed, needs 5 GB more than with recomputation, not 20."""
    kept = {"gradient_checkpointing": False, "phase": "forward"}
    anywhere, last = (parts(stack(part=Part(blocks=4, last=on)), **kept)["activations"] for on in (False, True))
    whole = parts(stack(), **kept)["activations"]
    assert last < 0.2 * anywhere
    assert last == pytest.approx(whole * 4 / 32, rel=0.1)


@pytest.mark.parametrize(("projector", "sides"), [(True, 2 * 128 * 14336 + 128 * 4096), (False, 2 * 128 * 14336)])
def test_projected_gradients_have_small_states(projector, sides):
    """GaLore, table 1: mr + 2nr beside the weights mn; APOLLO draws its projector from a seed."""
    shape = model(EIGHT)
    one = msgspec.structs.replace(
        shape,
        layers=(
            msgspec.structs.replace(shape.layers[0], count=1, norm_params=0, linears=shape.layers[0].linears[-1:]),
        ),
        embedding_params=0,
        head_params=0,
        final_norm_params=0,
    )
    states = low_rank_states(one, LowRank(rank=128, projector=projector), 2)
    assert states.device == 2 * sides


def test_galore_needs_far_less_than_adamw():
    low = stack(low_rank=LowRank(rank=128, outer=True))
    assert parts(low)["optimizer_states"] < 0.1 * parts(stack())["optimizer_states"]


def test_embeddings_that_train_in_fp32_cost_four_bytes_more_a_state():
    """ms-swift: 2 bytes more for each of weight and gradient, 4 for two Adam states."""
    saved = {"modules_to_save": ("embed_tokens", "lm_head")}
    shape = model(EIGHT)
    values = shape.embedding_params + shape.head_params
    plain, wide = (parts(stack(OURS, float_embeddings=on), method="lora", **saved) for on in (False, True))
    more = sum(wide[c] - plain[c] for c in ("adapters", "gradients", "optimizer_states"))
    assert more == pytest.approx(8 * values, rel=0.001)


# --- kernels and evaluation --------------------------------------------------------------------------------------


def test_unsloth_s_checkpoints_wait_in_host_memory_and_its_loss_holds_no_logits():
    long = {"method": "qlora", "max_seq_len": 16_384, "loss_kernel": "liger"}
    plain = parts(stack(UNSLOTH, offloads_checkpoints=False), **long)
    offloaded = parts(UNSLOTH, **long)
    boundaries = 30 * 16_384 * 4096 * 2
    assert plain["activations"] - offloaded["activations"] == pytest.approx(boundaries, rel=0.01)
    shape = model(EIGHT)
    on, off = (
        Estimator(shape, plan(**long), stack(UNSLOTH, offloads_checkpoints=kept)).estimate().host_bytes
        for kept in (True, False)
    )
    assert on - off == pytest.approx(boundaries, rel=0.1)
    logits = parts(UNSLOTH, phase="forward", **long)["logits"]
    assert logits < 0.1 * 16_384 * shape.vocab_size * 2


def test_an_evaluation_that_generates_holds_keys_and_values():
    plain, generating = (
        parts(stack(OURS, generates=rows), method="lora", phase="evaluation")["activations"] for rows in (0, 16)
    )
    assert generating - plain == 16 * 2048 * 2 * 32 * 8 * 128 * 2


def test_8_bit_products_keep_16_bit_weights():
    """torchao on eight H100: 47.65 GiB in bf16, 47.77 in float8."""
    shared = {"num_gpus": 8, "sharding": "fsdp", "max_seq_len": 8192}
    assert parts(stack(fp8=True), **shared) == parts(stack(), **shared)
