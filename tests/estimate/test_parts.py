"""Weights, optimizer states, logits and placement by their formulas."""

from __future__ import annotations

import pytest

from advisor.estimate.logits import HeadSizes, cell_bytes, head_bytes, pooled_cell_bytes
from advisor.estimate.optimizer import eight_bit_excess, optimizer_states
from advisor.estimate.stacks import FMS, OURS
from advisor.estimate.state import training_state
from advisor.estimate.weights import nf4_bytes, stored_weights
from tests.estimate.shapes import model, plan


@pytest.mark.slow
def test_nf4_bytes_are_those_of_bitsandbytes():
    bitsandbytes = pytest.importorskip("bitsandbytes")
    import torch

    weight = torch.randn(96, 640)
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    inner = state.state2
    tensors = (packed, state.absmax, state.code, state.offset, inner.absmax, inner.code)
    assert nf4_bytes(weight.numel()) == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_double_quantisation_is_4_127_bits_a_weight():
    assert 8 * nf4_bytes(4096 * 14336) / (4096 * 14336) == pytest.approx(4.127, abs=0.001)


def test_embedding_head_and_norms_stay_wide():
    spec = model("Llama-3.1-8B")
    stored = stored_weights(spec, storage="nf4")
    assert stored.root == 2 * (spec.embedding_params + spec.head_params + spec.final_norm_params)
    assert stored.packed == spec.linear_params // 2
    assert stored.dequantised == 2 * 4096 * 14336


def test_experts_as_bare_parameters_are_not_quantised():
    spec = model("Qwen3-30B-A3B")
    bare, quantised = (stored_weights(spec, storage="nf4", experts_quantised=q).total for q in (False, True))
    assert bare > 50e9
    assert quantised < 20e9


def test_published_steady_bytes_of_a_gptq_run():
    """Mistral-7B GPTQ with LoRA r16 on attention: 4,336,822,784 bytes steady, two cuBLAS workspaces in them."""
    chosen = plan("qlora", lora_targets=("q_proj", "k_proj", "v_proj", "o_proj"), optimizer="adamw_torch")
    stack = FMS.__class__(**{f: getattr(FMS, f) for f in FMS.__struct_fields__} | {"base_storage": "gptq_int4"})
    state = training_state(model("Mistral-7B-v0.1"), chosen, stack)
    steady = state.placed.weights + state.placed.adapters + state.placed.states + 2 * 8_519_680 + 24 * 4 * 4096
    assert steady == pytest.approx(4_336_822_784, rel=2e-5)


def test_adam_states():
    plain = optimizer_states("adamw_torch_fused", 1000, 2, tensors=3, largest=500, rows_and_columns=60)
    assert (plain.device, plain.step) == (2 * 2 * 1000 + 12, 0)
    several = optimizer_states("adamw_torch", 1000, 2, tensors=3, largest=500, rows_and_columns=60, foreach=True)
    assert several.step == 2000
    paged = optimizer_states("paged_adamw_8bit", 1_000_000, 2, tensors=1, largest=1_000_000, rows_and_columns=0)
    assert (paged.device, paged.host) == (0, 2 * (1_000_000 + 4 * 3907))
    assert optimizer_states("sgd", 1000, 4, tensors=3, largest=500, rows_and_columns=0).device == 0
    assert optimizer_states("adafactor", 1000, 4, tensors=3, largest=500, rows_and_columns=60).device == 240


def test_small_tensors_of_an_8_bit_optimizer_never_make_more_cost_less():
    costs = [size + eight_bit_excess(size) for size in range(1, 20_000, 7)]
    assert costs == sorted(costs)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("upcast_shift", 14),
        ("in_place", 10),
        ("upcast", 12),
        ("compiled", 8),
        ("chunk_list", 4),
        ("compute", 8),
        ("tiled", 0),
    ],
)
def test_whole_logits_by_kernel(kind, cell):
    size = HeadSizes(vocab=1000, hidden=64, compute=2, trained=False, autocast=False, kind=kind)
    assert cell_bytes(size) == cell
    assert pooled_cell_bytes(size) >= cell
    if cell:
        assert head_bytes(size, 10) == 10 * 1000 * cell


def test_tiled_and_liger_heads_do_not_grow_with_tokens_times_vocabulary():
    for kind, copies in (("tiled", 4 + 2), ("liger", 4)):
        size = HeadSizes(vocab=128_256, hidden=4096, compute=2, trained=False, autocast=True, kind=kind)
        assert head_bytes(size, 16_384) < 16_384 * 128_256
        trained = head_bytes(size._replace(trained=True), 16_384)
        assert trained - head_bytes(size, 16_384) == 128_256 * 4096 * copies


def test_fsdp_shards_and_gathers():
    spec = model("Llama-3.1-8B")
    placed = training_state(spec, plan("full", sharding="fsdp", num_gpus=8), OURS).placed
    assert placed.weights == -(-4 * spec.num_params // 8)
    assert placed.outer == 2 * (spec.embedding_params + spec.head_params + spec.final_norm_params)
    assert placed.block == 2 * (spec.layers[0].num_params)


def test_zero_two_keeps_the_weights_whole_and_zero_three_does_not():
    spec = model("Llama-3.1-8B")
    two, three = (training_state(spec, plan("full", sharding=z, num_gpus=8), OURS).placed for z in ("zero2", "zero3"))
    assert two.weights == 2 * spec.num_params
    assert three.weights == -(-2 * spec.num_params // 8)
    assert two.states == three.states == -(-12 * spec.num_params // 8)


def test_trained_embedding_and_head_are_copies_in_the_base_dtype():
    spec = model("Llama-3.1-8B")
    plain = training_state(spec, plan("lora"), OURS)
    more = training_state(spec, plan("lora", modules_to_save=("embed_tokens", "lm_head")), OURS)
    values = 2 * spec.vocab_size * spec.hidden_size
    assert more.placed.adapters - plain.placed.adapters == 2 * values
    assert more.placed.states - plain.placed.states == pytest.approx(4 * values, rel=1e-6)


def test_linears_outside_the_blocks_that_share_weights_are_counted_once():
    import msgspec

    from advisor.model.spec import Linear

    spec = model("Llama-3.1-8B")
    outer = Linear(name="shared", in_features=4096, out_features=4096)
    shared = msgspec.structs.replace(spec, other_params=4096 * 4096, outer_linears=(outer, outer, outer))
    wide, quantised = (stored_weights(shared, storage=kind) for kind in ("none", "nf4"))
    plain = stored_weights(spec, storage="nf4")
    assert wide.root - stored_weights(spec).root == 2 * 4096 * 4096
    assert quantised.root == plain.root
    assert quantised.packed - plain.packed == 4096 * 4096 // 2
