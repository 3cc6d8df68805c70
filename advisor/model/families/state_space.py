"""State-space decoders: Mamba 1 and 2 alone, or beside attention and experts."""

from __future__ import annotations

import math

from advisor.base.language import tr
from advisor.model.blocks import (
    Part,
    Shape,
    Sizes,
    attention,
    block,
    gated,
    linear,
    norms,
    plain,
)
from advisor.model.config import ConfigReader
from advisor.model.families.layers import ATTENTION
from advisor.model.families.moe import granite_shared, routed
from advisor.model.families.traits import Builder, having
from advisor.model.spec import Linear
from advisor.model.windows import layer_types

_PATTERN = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}


def mamba1(hidden: int, inner: int, rank: int, state: int, kernel: int, bias: bool, conv_bias: bool) -> Part:
    """The selective state-space mixer of Mamba 1."""
    return Part(
        (
            linear("in_proj", hidden, 2 * inner, bias, "mixer"),
            linear("x_proj", inner, rank + 2 * state, role="mixer"),
            linear("dt_proj", rank, inner, True, "mixer"),
            linear("out_proj", inner, hidden, bias, "mixer"),
        ),
        other_params=inner * kernel + (inner if conv_bias else 0) + inner * state + inner,
    )


def mamba2(
    hidden: int, inner: int, heads: int, groups: int, state: int, kernel: int, *,
    bias: bool, conv_bias: bool, out_bias: bool | None = None, gated_norm: bool = True,
) -> Part:  # fmt: skip
    """The state-space mixer of Mamba 2."""
    channels = inner + 2 * groups * state
    return Part(
        (
            linear("in_proj", hidden, inner + channels + heads, bias, "mixer"),
            linear("out_proj", inner, hidden, bias if out_bias is None else out_bias, "mixer"),
        ),
        norm_params=inner if gated_norm else 0,
        other_params=channels * kernel + (channels if conv_bias else 0) + 3 * heads,
    )


def mamba2_of(config: ConfigReader, hidden: int) -> Part:
    """The Mamba 2 mixer under the keys of Bamba, Granite hybrid and Falcon H1."""
    stated = config.maybe("mamba_d_ssm")
    inner = stated or round(config.number("mamba_expand", default=2) * hidden)
    is_falcon = config.model_type == "falcon_h1"
    bias = config.flag("mamba_proj_bias")
    return mamba2(
        hidden,
        inner,
        config.size("mamba_n_heads"),
        config.size("mamba_n_groups"),
        config.size("mamba_d_state"),
        config.size("mamba_d_conv"),
        bias=bias,
        conv_bias=config.flag("mamba_conv_bias", default=True),
        out_bias=config.flag("projectors_bias") if is_falcon else bias,
        gated_norm=config.flag("mamba_rms_norm") if is_falcon else True,
    )


@having(no_out_proj=True)
def mamba(config: ConfigReader) -> Shape:
    """Mamba 1 and Falcon Mamba: nothing but mixers."""
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    inner = config.size("intermediate_size", default=round(config.number("expand", default=2) * hidden))
    stated = config.get("time_step_rank")
    rank = stated if isinstance(stated, int) else math.ceil(hidden / 16)
    mixer = mamba1(
        hidden,
        inner,
        rank,
        config.size("state_size"),
        config.size("conv_kernel"),
        config.flag("use_bias"),
        config.flag("use_conv_bias", default=True),
    )
    one = block(mixer, norms(hidden, 1), attention="linear")
    return Shape(blocks=[one] * layers, final_norm_params=hidden, gated_mlp=False, attention_free=True)


@having(no_out_proj=True)
def mamba_two(config: ConfigReader) -> Shape:
    """Mamba 2: nothing but mixers."""
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    mixer = mamba2(
        hidden,
        int(config.number("expand", default=2) * hidden),
        config.size("num_heads"),
        config.size("n_groups"),
        config.size("state_size"),
        config.size("conv_kernel"),
        bias=config.flag("use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )
    one = block(mixer, norms(hidden, 1), attention="linear")
    return Shape(blocks=[one] * layers, final_norm_params=hidden, gated_mlp=False, attention_free=True)


def jamba(config: ConfigReader) -> Shape:
    """Jamba: Mamba 1 with attention now and then, experts in every other block."""
    size = Sizes(config)
    inner = round(config.number("mamba_expand", default=2) * size.hidden)
    stated = config.get("mamba_dt_rank")
    rank = stated if isinstance(stated, int) else math.ceil(size.hidden / 16)
    state = config.size("mamba_d_state")
    kernel = config.size("mamba_d_conv")
    bias, conv_bias = config.flag("mamba_proj_bias"), config.flag("mamba_conv_bias", default=True)
    mixer = mamba1(size.hidden, inner, rank, state, kernel, bias, conv_bias) + Part(norm_params=rank + 2 * state)
    wide = gated(size.hidden, size.intermediate)
    has_experts = config.count("num_experts") > 1
    moe = routed(size, size.intermediate, router="router") if has_experts else wide
    a_period, a_offset = config.size("attn_layer_period"), config.count("attn_layer_offset")
    e_period, e_offset = config.size("expert_layer_period"), config.count("expert_layer_offset")
    blocks = []
    for index in range(size.layers):
        attends = index % a_period == a_offset
        feed = moe if index % e_period == e_offset else wide
        mix = attention(size) if attends else mixer
        blocks.append(block(mix, feed, norms(size.hidden, 2), attention="full" if attends else "linear"))
    return Shape(blocks=blocks, final_norm_params=size.hidden)


def bamba(config: ConfigReader) -> Shape:
    """Bamba: Mamba 2 with attention in the blocks that attn_layer_indices names."""
    size = Sizes(config)
    attends = set(config.items("attn_layer_indices"))
    mlp = gated(size.hidden, size.intermediate, config.flag("mlp_bias"))
    mixer, heads = mamba2_of(config, size.hidden), attention(size, config.flag("attention_bias"))
    blocks = [
        block(heads, mlp, norms(size.hidden, 2)) if index in attends
        else block(mixer, mlp, norms(size.hidden, 2), attention="linear")
        for index in range(size.layers)
    ]  # fmt: skip
    return Shape(blocks=blocks, final_norm_params=size.hidden)


@having(no_out_proj=True)
def falcon_h1(config: ConfigReader) -> Shape:
    """Falcon H1: attention and Mamba 2 side by side in every block."""
    size = Sizes(config)
    mlp = gated(size.hidden, size.intermediate, config.flag("mlp_bias"))
    heads = attention(size, config.flag("attention_bias"))
    one = block(heads, mamba2_of(config, size.hidden), mlp, norms(size.hidden, 2))
    return Shape(blocks=[one] * size.layers, final_norm_params=size.hidden)


def granite_hybrid(config: ConfigReader) -> Shape:
    """Granite 4: Mamba 2 or attention, a shared part in every block, experts when there are any."""
    size = Sizes(config)
    stated = layer_types(config, size.layers) or ["linear_attention"] * size.layers
    feed = granite_shared(size, config.size("shared_intermediate_size"))
    if config.count("num_local_experts"):
        feed += routed(size, size.intermediate, router="router")
    mixer, heads = mamba2_of(config, size.hidden), attention(size, config.flag("attention_bias"))
    blocks = [
        block(heads, feed, norms(size.hidden, 2)) if kind in ATTENTION
        else block(mixer, feed, norms(size.hidden, 2), attention="linear")
        for kind in stated
    ]  # fmt: skip
    return Shape(blocks=blocks, final_norm_params=size.hidden)


@having(no_out_proj=True)
def nemotron_h(config: ConfigReader) -> Shape:
    """Nemotron H: one mixer a block - Mamba 2, attention, feed-forward part or experts - under one norm."""
    size = Sizes(config)
    pattern = config.text("hybrid_override_pattern")
    stated = (
        config.items("layer_types") or config.items("layers_block_type") or [_PATTERN.get(c, "mlp") for c in pattern]
    )
    stated = stated or ["linear_attention", "moe", "full_attention", "mlp"]
    bias, mlp_bias = config.flag("use_bias"), config.flag("mlp_bias")
    heads = config.size("mamba_num_heads")
    mixer = mamba2(
        size.hidden,
        heads * config.size("mamba_head_dim"),
        heads,
        config.size("n_groups", "mamba_n_groups"),
        config.size("ssm_state_size"),
        config.size("conv_kernel", "mamba_d_conv"),
        bias=bias,
        conv_bias=config.flag("use_conv_bias", "mamba_conv_bias", default=True),
    )
    parts = {"full_attention": attention(size), "linear_attention": mixer}
    parts |= {"attention": parts["full_attention"], "mamba": mixer}
    parts["mlp"] = plain(size.hidden, size.intermediate, mlp_bias)
    if "moe" in stated:
        parts["moe"] = _nemotron_experts(size, mlp_bias)
    one_norm = norms(size.hidden, 1)
    blocks = [
        block(parts.get(str(kind), parts["mlp"]), one_norm, attention="full" if kind in ATTENTION else "linear")
        for kind in stated
    ]
    # transformers ties nothing here, whatever tie_word_embeddings says.
    return Shape(blocks=blocks, final_norm_params=size.hidden, gated_mlp=False, tied=False)


def _nemotron_experts(size: Sizes, bias: bool) -> Part:
    config = size.config
    latent = config.maybe("moe_latent_size")
    width, count = config.size("moe_intermediate_size"), config.size("n_routed_experts")
    inner = latent or size.hidden
    linears = [
        linear("gate", size.hidden, count, role="router", fused=True),
        linear("up_proj", inner, width, role="expert", copies=count, fused=True),
        linear("down_proj", width, inner, role="expert", copies=count, fused=True),
    ]
    wide = config.size("moe_shared_expert_intermediate_size")
    linears += [
        linear("up_proj", size.hidden, wide, bias, "shared_expert"),
        linear("down_proj", wide, size.hidden, bias, "shared_expert"),
    ]
    if latent:
        linears += [
            linear("fc1_latent_proj", size.hidden, latent, bias),
            linear("fc2_latent_proj", latent, size.hidden, bias),
        ]
    return Part(tuple(linears), num_experts=count, experts_per_token=config.size("num_experts_per_tok"))


def zamba2(config: ConfigReader) -> Shape:
    """Zamba 2: Mamba 2 mixers; shared transformer blocks, counted once, with a low-rank adapter for each use."""
    size = Sizes(config)
    inner = int(config.number("mamba_expand", default=2) * size.hidden)
    mixer = mamba2(
        size.hidden,
        inner,
        config.size("n_mamba_heads"),
        config.size("mamba_ngroups"),
        config.size("mamba_d_state"),
        config.size("mamba_d_conv"),
        bias=False,
        conv_bias=True,
    ) + norms(size.hidden, 1)
    stated = layer_types(config, size.layers) or _zamba2_kinds(size.layers)
    into = Part((linear("linear", size.hidden, size.hidden, role="mixer"),))
    blocks = [
        block(mixer, into, attention="linear") if kind == "hybrid" else block(mixer, attention="linear")
        for kind in stated
    ]
    uses = sum(kind == "hybrid" for kind in stated)
    outer = _zamba2_shared(size)
    adapters = _zamba2_adapters(size, uses)
    copies = config.size("num_mem_blocks", default=1)
    outside = copies * (sum(one.num_params for one in outer) + 3 * size.hidden)
    outside += sum(one.num_params for one in adapters)
    note = tr("the shared transformer blocks are counted once, outside the blocks")
    shape = Shape(blocks=blocks, final_norm_params=size.hidden, other_params=outside, notes=[note])
    shape.exact = not config.flag("add_bias_linear") and size.tied
    # Every use holds modules of its own over shared weights, so that LoRA adapts each.
    shape.outer = (outer + adapters) * uses
    return shape


def _zamba2_kinds(layers: int) -> list[str]:
    plan = [*["m"] * 1, *(["m"] * 5 + ["h"]) * 7, *["m"] * 4, "h", *["m"] * 3, "h", "m", "m"]
    return ["hybrid" if kind == "h" else "linear_attention" for kind in plan[:layers]]


def _zamba2_shared(size: Sizes) -> tuple[Linear, ...]:
    """The linears of one shared transformer block, which sees the embedding beside the hidden state."""
    hidden, double = size.hidden, 2 * size.hidden
    wide = size.config.size("intermediate_size", default=4 * hidden)
    return (
        *(linear(name, double, double, role="attention") for name in ("q_proj", "k_proj", "v_proj")),
        linear("o_proj", double, hidden, role="attention"),
        linear("gate_up_proj", hidden, 2 * wide),
        linear("down_proj", wide, hidden),
    )


def _zamba2_adapters(size: Sizes, uses: int) -> tuple[Linear, ...]:
    """Two low-rank matrices for each use of a shared block."""
    config, hidden = size.config, size.hidden
    rank = config.size("adapter_rank", default=128)
    wide = config.size("intermediate_size", default=4 * hidden)
    pair: tuple[Linear, ...] = (linear("0", hidden, rank), linear("1", rank, 2 * wide))
    if config.flag("use_shared_attention_adapter"):
        pair += (linear("0", 2 * hidden, rank), linear("1", rank, 2 * hidden)) * 3
    return pair * uses


STATE_SPACE: dict[str, Builder] = {
    "bamba": bamba,
    "falcon_h1": falcon_h1,
    "falcon_mamba": mamba,
    "granitemoehybrid": granite_hybrid,
    "jamba": jamba,
    "mamba": mamba,
    "mamba2": mamba_two,
    "nemotron_h": nemotron_h,
    "zamba2": zamba2,
}
