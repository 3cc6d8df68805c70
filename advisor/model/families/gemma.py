"""The Gemma line."""

from __future__ import annotations

from advisor.model.blocks import (
    Part,
    Shape,
    Sizes,
    attention,
    block,
    gated,
    linear,
    norms,
    qk_norm,
)
from advisor.model.config import ConfigReader
from advisor.model.families.dense import decoder
from advisor.model.families.traits import Builder, windowed
from advisor.model.spec import LayerGroup
from advisor.model.windows import layer_types, sliding_windows


@windowed(full_every=2)
def gemma2(config: ConfigReader) -> Shape:
    """Norms before and after both halves of a block."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias"))
    return decoder(size, projections, gated(size.hidden, size.intermediate), norms_per_block=4)


@windowed(full_every=6)
def gemma3(config: ConfigReader) -> Shape:
    """Gemma 2 with a norm on each query and key head."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    return decoder(size, projections, gated(size.hidden, size.intermediate), norms_per_block=4, qk_norm=True)


@windowed(full_every=2)
def vaultgemma(config: ConfigReader) -> Shape:
    """Gemma 2 without the norms after each half."""
    size = Sizes(config)
    return decoder(size, attention(size, config.flag("attention_bias")), gated(size.hidden, size.intermediate))


@windowed(full_every=5)
def gemma3n(config: ConfigReader) -> Shape:
    """Gemma 3n: per-layer embeddings, AltUp, LAuReL; the last blocks reuse keys and values."""
    size = Sizes(config)
    inputs, each = config.size("altup_num_inputs"), config.size("hidden_size_per_layer_input")
    rank, reused = config.size("laurel_rank"), config.count("num_kv_shared_layers")
    widths = config.sizes("intermediate_size", size.layers)
    windows = sliding_windows(config, size.layers)
    extras = Part(
        (
            linear("correction_coefs", inputs, inputs),
            linear("prediction_coefs", inputs, inputs * inputs),
            linear("modality_router", size.hidden, inputs),
            linear("linear_left", size.hidden, rank),
            linear("linear_right", rank, size.hidden),
            linear("per_layer_input_gate", size.hidden, each),
            linear("per_layer_projection", each, size.hidden),
        ),
        norm_params=3 * size.hidden,
        other_params=size.hidden,
    )
    bias = config.flag("attention_bias")
    blocks = []
    for index in range(size.layers):
        shares = index >= size.layers - reused > 0
        heads = _query_only(size, bias) if shares else attention(size, bias) + qk_norm(size)
        mlp = gated(size.hidden, widths[index])
        blocks.append(block(heads, mlp, norms(size.hidden, 4), extras, sliding_window=windows[index]))
    per_layer = config.size("vocab_size_per_layer_input") * size.layers * each
    outside = per_layer + size.layers * each * size.hidden + each + 2 * (inputs - 1) * size.hidden * size.hidden
    shape = Shape(blocks=blocks, final_norm_params=size.hidden, other_params=outside, qk_norm=True)
    projections = [linear(str(i), size.hidden, size.hidden) for _ in range(2) for i in range(inputs - 1)]
    shape.outer = (linear("per_layer_model_projection", size.hidden, size.layers * each), *projections)
    return shape


def _query_only(size: Sizes, bias: bool, width: int | None = None) -> Part:
    """Attention that reuses another block's keys and values."""
    width = width or size.head_dim
    inner = size.heads * width
    return Part(
        (
            linear("q_proj", size.hidden, inner, bias, "attention"),
            linear("o_proj", inner, size.hidden, bias, "attention"),
        ),
        norm_params=width,
    )


@windowed(full_every=6)
def gemma4(config: ConfigReader) -> Shape:
    """Gemma 4: full blocks with wider heads, per-layer embeddings, experts beside the dense part, shared keys."""
    size = Sizes(config)
    stated = layer_types(config, size.layers) or [
        "sliding_attention" if (index + 1) % 6 else "full_attention" for index in range(size.layers)
    ]
    stated[-1] = "full_attention"
    is_unified = config.model_type == "gemma4_unified_text"
    each = 0 if is_unified else config.count("hidden_size_per_layer_input")
    reused = config.count("num_kv_shared_layers")
    window = config.maybe("sliding_window")
    extras = _gemma4_extras(size, each)
    blocks: list[LayerGroup] = []
    for index, kind in enumerate(stated):
        full = kind == "full_attention"
        shares = reused > 0 and index >= size.layers - reused
        wide = 2 if shares and config.flag("use_double_wide_mlp") else 1
        heads = _gemma4_attention(size, full, shares)
        mlp = gated(size.hidden, size.intermediate * wide)
        blocks.append(block(heads, mlp, norms(size.hidden, 4), extras, sliding_window=None if full else window))
    outside = (
        each
        and config.size("vocab_size_per_layer_input") * size.layers * each + size.layers * each * size.hidden + each
    )
    shape = Shape(blocks=blocks, final_norm_params=size.hidden, other_params=outside, qk_norm=True)
    if each:
        shape.outer = (linear("per_layer_model_projection", size.hidden, size.layers * each),)
    return shape


def _gemma4_attention(size: Sizes, full: bool, shares: bool) -> Part:
    config = size.config
    bias = config.flag("attention_bias")
    width = config.size("global_head_dim", default=512) if full else size.head_dim
    is_unified = config.model_type == "gemma4_unified_text"
    same = full and (config.flag("attention_k_eq_v") or (is_unified and config.has("num_global_key_value_heads")))
    keys = config.size("num_global_key_value_heads", default=size.kv_heads) if same else size.kv_heads
    if shares:
        return _query_only(size, bias, width)
    whole = attention(size, bias, head_dim=width, kv_heads=keys) + Part(norm_params=2 * width)
    if full and config.flag("attention_k_eq_v"):
        kept = tuple(one for one in whole.linears if one.name != "v_proj")
        return Part(kept, whole.norm_params)
    return whole


def _gemma4_extras(size: Sizes, each: int) -> Part:
    config = size.config
    extras = Part()
    if each:
        extras += Part(
            (
                linear("per_layer_input_gate", size.hidden, each),
                linear("per_layer_projection", each, size.hidden),
            ),
            norm_params=size.hidden,
        )
    if config.flag("enable_moe_block"):
        count, width = config.size("num_experts"), config.size("moe_intermediate_size")
        extras += Part(
            (
                linear("proj", size.hidden, count, role="router"),
                linear("gate_up_proj", size.hidden, 2 * width, role="expert", copies=count, fused=True),
                linear("down_proj", width, size.hidden, role="expert", copies=count, fused=True),
            ),
            norm_params=3 * size.hidden,
            other_params=size.hidden + count,
            num_experts=count,
            experts_per_token=config.size("top_k_experts", "num_experts_per_tok"),
        )
    return extras


GEMMA: dict[str, Builder] = {
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "gemma3n_text": gemma3n,
    "gemma4_text": gemma4,
    "gemma4_unified_text": gemma4,
    "vaultgemma": vaultgemma,
}
