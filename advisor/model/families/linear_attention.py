"""Decoders whose blocks mix by linear attention, short convolutions or recurrences, with attention now and then."""

from __future__ import annotations

from advisor.model.blocks import (
    Part,
    Shape,
    Sizes,
    attention,
    block,
    gated,
    linear,
    mla,
    norms,
    qk_norm,
)
from advisor.model.config import ConfigReader
from advisor.model.families.layers import ATTENTION, dense_blocks, kinds
from advisor.model.families.moe import qwen_dense_blocks, routed, shared, shared_with_gate
from advisor.model.families.traits import Builder, having
from advisor.model.spec import DeltaRule
from advisor.model.windows import layer_types


def lfm2(config: ConfigReader) -> Shape:
    """LFM2: short convolutions and attention; the -moe version has experts behind its dense blocks."""
    size = Sizes(config)
    stated = layer_types(config, size.layers)
    if not stated:
        full = {index for index in config.items("full_attn_idxs") if type(index) is int} or set(range(size.layers))
        stated = ["full_attention" if index in full else "conv" for index in range(size.layers)]
    conv = short_conv(size, config.size("conv_L_cache"), config.flag("conv_bias"))
    heads = attention(size, names=("q_proj", "k_proj", "v_proj", "out_proj")) + qk_norm(size)
    is_moe = config.model_type == "lfm2_moe"
    width = size.intermediate if is_moe else _lfm2_width(config)
    dense = gated(size.hidden, width, names=("w1", "w3", "w2"))
    moe = routed(size, config.size("moe_intermediate_size")) if is_moe else dense
    first = config.count("num_dense_layers") if is_moe else size.layers
    blocks = [
        block(
            heads if kind in ATTENTION else conv,
            dense if index < first else moe,
            norms(size.hidden, 2),
            attention="full" if kind in ATTENTION else "linear",
        )
        for index, kind in enumerate(stated)
    ]
    stated_tie = config.get("tie_embedding")
    tied = stated_tie if isinstance(stated_tie, bool) else None
    return Shape(blocks=blocks, final_norm_params=size.hidden, qk_norm=True, tied=tied)


def lfm3(config: ConfigReader) -> Shape:
    """LFM3: LFM2 with norms after each half and a gate for each head."""
    size = Sizes(config)
    gate = linear("g_proj", size.hidden, size.heads, role="attention")
    heads = attention(size, config.flag("attention_bias")) + qk_norm(size)
    if config.flag("use_attention_gate"):
        heads += Part((gate,))
    conv = short_conv(size, config.size("conv_L_cache"), config.flag("conv_bias"))
    stated = layer_types(config, size.layers) or [
        "full_attention" if i % 4 == 2 else "sliding_attention" if i % 4 == 0 and i else "conv"
        for i in range(size.layers)
    ]
    mlp = gated(size.hidden, size.intermediate, names=("w1", "w3", "w2"))
    inside = norms(size.hidden, 4 if config.flag("use_sandwich_norm") else 2)
    window = config.maybe("sliding_window")
    blocks = [
        block(heads, mlp, inside, sliding_window=window if "sliding" in kind else None)
        if kind in ATTENTION
        else block(conv, mlp, inside, attention="linear")
        for kind in stated
    ]
    return Shape(blocks=blocks, final_norm_params=size.hidden, qk_norm=True)


def bailing_hybrid(config: ConfigReader) -> Shape:
    """Ling hybrid: five delta attention mixers to one latent attention, experts behind the first blocks."""
    size = Sizes(config)
    heads, width = size.heads, size.head_dim
    inner, kernel = heads * width, config.size("short_conv_kernel_size", default=4)
    made = [
        linear(name, size.hidden, inner, role="mixer") for name in ("q_proj", "k_proj", "v_proj", "f_proj", "g_proj")
    ]
    made += [linear("b_proj", size.hidden, heads, role="mixer"), linear("o_proj", inner, size.hidden, role="mixer")]
    mixer = Part(tuple(made), norm_params=width, other_params=3 * inner * kernel + inner + heads)
    gate = linear("g_proj", size.hidden, heads, role="attention")
    latent = mla(size, config.flag("attention_bias")) + Part((gate,))
    moe_width = config.size("moe_intermediate_size")
    moe = routed(size, moe_width) + shared(size, moe_width * config.count("n_shared_experts"), bias=False)
    dense = gated(size.hidden, size.intermediate)
    only = dense_blocks(config, size.layers)
    stated = kinds(config, size.layers, 6, "layer_group_size")
    blocks = []
    for index, kind in enumerate(stated):
        attends = kind in ATTENTION
        feed = dense if index in only else moe
        mix = latent if attends else mixer
        blocks.append(block(mix, feed, norms(size.hidden, 2), attention="mla" if attends else "linear"))
    return Shape(blocks=blocks, final_norm_params=size.hidden, tied=False)


def short_conv(size: Sizes, kernel: int, bias: bool) -> Part:
    """LFM2's gated short convolution."""
    return Part(
        (
            linear("in_proj", size.hidden, 3 * size.hidden, bias, "mixer"),
            linear("out_proj", size.hidden, size.hidden, bias, "mixer"),
        ),
        other_params=size.hidden * kernel + (size.hidden if bias else 0),
    )


def _lfm2_width(config: ConfigReader) -> int:
    width = config.size("block_ff_dim", "intermediate_size")
    if not config.flag("block_auto_adjust_ff_dim", default=True):
        return width
    multiple = config.size("block_multiple_of", default=256)
    scaled = int(config.number("block_ffn_dim_multiplier", default=1.0) * int(2 * width / 3))
    return multiple * ((scaled + multiple - 1) // multiple)


def gated_delta(size: Sizes, *, in_two: bool) -> Part:
    """The gated delta rule mixer of Qwen3-Next (two input matrices) and Qwen3.5 (four)."""
    config = size.config
    k_heads, v_heads = config.size("linear_num_key_heads"), config.size("linear_num_value_heads")
    value_dim = config.size("linear_value_head_dim")
    key_dim = config.size("linear_key_head_dim")
    keys, values = k_heads * key_dim, v_heads * value_dim
    if in_two:
        inputs = (("in_proj_qkvz", 2 * keys + 2 * values), ("in_proj_ba", 2 * v_heads))
    else:
        inputs = (  # type: ignore[assignment]
            ("in_proj_qkv", 2 * keys + values), ("in_proj_z", values), ("in_proj_b", v_heads), ("in_proj_a", v_heads),
        )  # fmt: skip
    made = [linear(name, size.hidden, width, role="mixer") for name, width in inputs]
    made.append(linear("out_proj", values, size.hidden, role="mixer"))
    kernel = config.size("linear_conv_kernel_dim")
    return Part(
        tuple(made),
        norm_params=value_dim,
        other_params=(2 * keys + values) * kernel + 2 * v_heads,
        delta=DeltaRule(key_heads=k_heads, value_heads=v_heads, key_dim=key_dim, value_dim=value_dim),
    )


def qwen3_next(config: ConfigReader) -> Shape:
    """Qwen3-Next and Qwen3.5: three mixers to one attention whose query carries a gate; dense or with experts."""
    size = Sizes(config)
    heads = attention(size, config.flag("attention_bias"), query_factor=2) + qk_norm(size)
    mixer = gated_delta(size, in_two=config.model_type == "qwen3_next")
    stated = kinds(config, size.layers, 4, "full_attention_interval")
    is_moe = config.model_type != "qwen3_5_text"
    only = qwen_dense_blocks(config, size.layers) if config.model_type == "qwen3_next" else set()
    dense = gated(size.hidden, size.intermediate) if not is_moe or only else Part()
    moe = routed(size, config.size("moe_intermediate_size")) + shared_with_gate(size) if is_moe else dense
    blocks = []
    for index, kind in enumerate(stated):
        attends = kind in ATTENTION
        feed = dense if index in only else moe
        mix = heads if attends else mixer
        blocks.append(block(mix, feed, norms(size.hidden, 2), attention="full" if attends else "linear"))
    return Shape(blocks=blocks, final_norm_params=size.hidden, qk_norm=True)


def olmo_hybrid(config: ConfigReader) -> Shape:
    """OLMo hybrid: three gated delta mixers to one attention."""
    size = Sizes(config)
    k_heads = config.size("linear_num_key_heads", default=size.heads)
    v_heads = config.size("linear_num_value_heads", default=size.heads)
    key_dim = config.size("linear_key_head_dim", default=int(0.75 * size.hidden / k_heads))
    value_dim = config.size("linear_value_head_dim", default=2 * key_dim)
    keys, values = k_heads * key_dim, v_heads * value_dim
    kernel = config.size("linear_conv_kernel_dim")
    widths = {
        "q_proj": keys,
        "k_proj": keys,
        "v_proj": values,
        "a_proj": v_heads,
        "b_proj": v_heads,
        "g_proj": values,
    }
    made = [linear(name, size.hidden, width, role="mixer") for name, width in widths.items()]
    made.append(linear("o_proj", values, size.hidden, role="mixer"))
    mixer = Part(
        tuple(made),
        norm_params=value_dim,
        other_params=(2 * keys + values) * kernel + 2 * v_heads,
        delta=DeltaRule(key_heads=k_heads, value_heads=v_heads, key_dim=key_dim, value_dim=value_dim),
    )
    heads = attention(size, config.flag("attention_bias")) + qk_norm(size, per_head=False)
    mlp = gated(size.hidden, size.intermediate)
    stated = kinds(config, size.layers, 4)
    if not layer_types(config, size.layers) and "full_attention" not in stated:
        stated[-1] = "full_attention"
    blocks = [
        block(heads, mlp, norms(size.hidden, 2)) if kind in ATTENTION
        else block(mixer, mlp, norms(size.hidden, 2), attention="linear")
        for kind in stated
    ]  # fmt: skip
    return Shape(blocks=blocks, final_norm_params=size.hidden, qk_norm=True)


@having(experts_were="mixtral")
def minimax(config: ConfigReader) -> Shape:
    """MiniMax: lightning attention with attention in every other block, experts in all."""
    size = Sizes(config)
    inner = size.heads * size.head_dim
    mixer = Part(
        (
            linear("qkv_proj", size.hidden, 3 * inner, role="mixer"),
            linear("out_proj", inner, size.hidden, role="mixer"),
            linear("output_gate", size.hidden, inner, role="mixer"),
        ),
        norm_params=inner,
    )
    stated = layer_types(config, size.layers) or [
        "full_attention" if (index + 1) % 2 else "linear_attention" for index in range(size.layers)
    ]
    moe = routed(size, size.intermediate)
    blocks = [
        block(attention(size), moe, norms(size.hidden, 2)) if kind in ATTENTION
        else block(mixer, moe, norms(size.hidden, 2), attention="linear")
        for kind in stated
    ]  # fmt: skip
    return Shape(blocks=blocks, final_norm_params=size.hidden)


def recurrent_gemma(config: ConfigReader) -> Shape:
    """RecurrentGemma (Griffin): two recurrences to one window attention; intermediate_size counts both halves."""
    size = Sizes(config)
    width = config.size("lru_width", default=size.hidden)
    per_head = width // size.heads
    kernel = config.size("conv1d_width")
    recurrence = Part(
        (
            linear("linear_y", size.hidden, width, True, "mixer"),
            linear("linear_x", size.hidden, width, True, "mixer"),
            linear("linear_out", width, size.hidden, True, "mixer"),
        ),
        other_params=width * kernel + width + width + 2 * (size.heads * per_head * per_head + width),
    )
    heads = attention(size, config.flag("attention_bias"), True, head_dim=size.split_head_dim)
    mlp = gated(size.hidden, size.intermediate // 2, True)
    pattern = config.items("block_types") or ["recurrent", "recurrent", "attention"]
    window = config.maybe("attention_window_size")
    blocks = [
        block(heads, mlp, norms(size.hidden, 2), sliding_window=window)
        if pattern[index % len(pattern)] == "attention"
        else block(recurrence, mlp, norms(size.hidden, 2), attention="linear")
        for index in range(size.layers)
    ]
    return Shape(blocks=blocks, final_norm_params=size.hidden)


def kimi_linear(config: ConfigReader) -> Shape:
    """Kimi Linear: three delta attention mixers to one latent attention; experts behind the first blocks."""
    size = Sizes(config)
    nested = config.section("linear_attn_config")
    heads = int(
        nested.get("num_heads") or config.size("linear_num_heads", "linear_num_key_heads", default=size.heads)
    )
    width = int(nested.get("head_dim") or config.size("linear_head_dim", "linear_key_head_dim", default=128))
    kernel = int(nested.get("short_conv_kernel_size") or config.size("linear_conv_kernel_dim", default=4))
    inner = heads * width
    made = [linear(name, size.hidden, inner, role="mixer") for name in ("q_proj", "k_proj", "v_proj")]
    made += [
        linear("f_a_proj", size.hidden, width, role="mixer"),
        linear("f_b_proj", width, inner, role="mixer"),
        linear("b_proj", size.hidden, heads, role="mixer"),
        linear("g_a_proj", size.hidden, width, role="mixer"),
        linear("g_b_proj", width, inner, role="mixer"),
        linear("o_proj", inner, size.hidden, role="mixer"),
    ]
    mixer = Part(tuple(made), norm_params=width, other_params=3 * inner * kernel + inner + heads)
    moe_width = config.size("moe_intermediate_size")
    number = config.count("num_shared_experts", "n_shared_experts")
    moe = routed(size, moe_width) + shared(size, moe_width * number)
    dense = gated(size.hidden, size.intermediate)
    only = dense_blocks(config, size.layers, 1)
    stated = layer_types(config, size.layers) or _kimi_kinds(nested.get("full_attn_layers"), size.layers)
    latent = mla(size, config.flag("attention_bias"))
    blocks = []
    for index, kind in enumerate(stated):
        attends = kind in ATTENTION
        feed = dense if index in only else moe
        blocks.append(
            block(latent if attends else mixer, feed, norms(size.hidden, 2), attention="mla" if attends else "linear")
        )
    return Shape(blocks=blocks, final_norm_params=size.hidden, tied=False)


def _kimi_kinds(stated: object, layers: int) -> list[str]:
    """The config counts full-attention blocks from 1."""
    full = set(stated) if isinstance(stated, list) else set(range(4, layers + 1, 4))
    return ["full_attention" if index + 1 in full else "linear_attention" for index in range(layers)]


def rwkv(config: ConfigReader) -> Shape:
    """RWKV 4: time mixing and channel mixing."""
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    inner = config.size("attention_hidden_size", default=hidden)
    wide = config.size("intermediate_size", default=4 * hidden)
    mix = Part(
        (
            linear("key", hidden, inner, role="mixer"),
            linear("value", hidden, inner, role="mixer"),
            linear("receptance", hidden, inner, role="mixer"),
            linear("output", inner, hidden, role="mixer"),
        ),
        other_params=2 * inner + 3 * hidden,
    )
    feed = Part(
        (linear("key", hidden, wide), linear("receptance", hidden, hidden), linear("value", wide, hidden)),
        other_params=2 * hidden,
    )
    one = block(mix, feed, norms(hidden, 2, "layernorm"), attention="linear")
    shape = Shape(
        blocks=[one] * layers, final_norm_params=2 * hidden, norm="layernorm", gated_mlp=False, attention_free=True
    )
    shape.other_params = 2 * hidden
    return shape


def hrm_text(config: ConfigReader) -> Shape:
    """HRM: two stacks of gated blocks without norm weights."""
    size = Sizes(config)
    bias = config.flag("attention_bias")
    gate = Part((linear("gate_proj", size.hidden, size.heads * size.head_dim, bias, "attention"),))
    heads = attention(size, bias, kv_heads=size.heads)
    one = block(heads, gate, gated(size.hidden, size.intermediate, config.flag("mlp_bias")))
    each = config.size("num_layers_per_stack", default=size.layers)
    return Shape(blocks=[one] * (2 * each), final_norm_params=0, other_params=size.hidden)


def xlstm(config: ConfigReader) -> Shape:
    """xLSTM 7B: matrix-memory cells and gated feed-forward parts."""
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers", "num_blocks")
    heads, bias = config.size("num_heads"), config.flag("use_bias")
    keys = int(config.number("qk_dim_factor", default=0.5) * hidden)
    values = int(config.number("v_dim_factor", default=1.0) * hidden)
    multiple = config.size("ffn_round_up_to_multiple_of", default=64)
    wide = int(hidden * config.number("ffn_proj_factor", default=2.667))
    wide = multiple * ((wide + multiple - 1) // multiple)
    cell = Part(
        (
            linear("q", hidden, keys, bias, "mixer"),
            linear("k", hidden, keys, bias, "mixer"),
            linear("v", hidden, values, bias, "mixer"),
            linear("ogate_preact", hidden, values, bias, "mixer"),
            linear("igate_preact", hidden, heads, True, "mixer"),
            linear("fgate_preact", hidden, heads, True, "mixer"),
            linear("out_proj", values, hidden, bias, "mixer"),
        ),
        norm_params=values + (values if bias else 0),
    )
    feed = gated(hidden, wide, bias, names=("proj_up_gate", "proj_up", "proj_down"))
    count = norms(hidden, 2, "layernorm" if bias else "rmsnorm")
    one = block(cell, feed, count, attention="linear")
    return Shape(
        blocks=[one] * layers,
        final_norm_params=hidden,
        attention_free=True,
        tied=False,
    )


LINEAR_ATTENTION: dict[str, Builder] = {
    "hrm_text": hrm_text,
    "bailing_hybrid": bailing_hybrid,
    "kimi_linear": kimi_linear,
    "lfm3": lfm3,
    "lfm2": lfm2,
    "lfm2_moe": lfm2,
    "minimax": minimax,
    "olmo_hybrid": olmo_hybrid,
    "qwen3_5_moe_text": qwen3_next,
    "qwen3_5_text": qwen3_next,
    "qwen3_next": having(experts_were="qwen2_moe")(qwen3_next),
    "recurrent_gemma": recurrent_gemma,
    "rwkv": rwkv,
    "xlstm": xlstm,
}
