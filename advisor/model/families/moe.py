"""Decoders with routed experts in every block, or in every n-th."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from advisor.model.blocks import (
    Part,
    Shape,
    Sizes,
    attention,
    block,
    experts,
    gated,
    gated_fused,
    linear,
    norms,
    qk_norm,
)
from advisor.model.config import ConfigReader
from advisor.model.families.layers import dense_blocks
from advisor.model.families.traits import Builder, having, windowed
from advisor.model.spec import AttentionKind, LayerGroup, Norm
from advisor.model.windows import sliding_windows


def sparse(
    size: Sizes,
    projections: Part | Sequence[Part],
    moe: Part,
    dense: Part | None = None,
    dense_layers: set[int] | None = None,
    *,
    kind: AttentionKind = "full",
    norm: Norm = "rmsnorm",
    norms_per_block: int = 2,
    norm_bias: bool = True,
    **traits: bool,
) -> Shape:
    """A model whose blocks route to experts, except `dense_layers`. `projections`: of all blocks, or of each."""
    inside = norms(size.hidden, norms_per_block, norm, norm_bias)
    attending = [projections] * size.layers if isinstance(projections, Part) else projections
    blocks: list[LayerGroup] = []
    for index, window in enumerate(sliding_windows(size.config, size.layers)):
        feed = dense if dense is not None and index in (dense_layers or set()) else moe
        blocks.append(block(attending[index], feed, inside, attention=kind, sliding_window=window))
    last = norms(size.hidden, 1, norm, norm_bias).norm_params
    return Shape(blocks=blocks, final_norm_params=last, norm=norm, **traits)  # type: ignore[arg-type]


def routed(size: Sizes, width: int, *, router: str = "gate", router_is_linear: bool = False) -> Part:
    """Gated experts of this width, as many as the config states."""
    config = size.config
    count = config.size("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
    per_token = config.size("num_experts_per_tok", "moe_k", "moe_topk", default=1)
    return experts(size.hidden, width, count, per_token, router=router, router_is_linear=router_is_linear)


def shared(size: Sizes, width: int, bias: bool | None = None) -> Part:
    """A shared expert that every token meets; nothing when its width is 0. `bias` None: as mlp_bias says."""
    bias = size.config.flag("mlp_bias") if bias is None else bias
    return gated(size.hidden, width, bias, role="shared_expert") if width else Part()


@having(experts_were="mixtral")
def mixtral(config: ConfigReader) -> Shape:
    """Experts in every block, no biases."""
    size = Sizes(config)
    return sparse(size, attention(size), routed(size, size.intermediate))


@having(experts_were="qwen2_moe")
def mixtral_with_bias(config: ConfigReader) -> Shape:
    """OLMoE: norms on whole queries and keys, attention_bias by switch."""
    size = Sizes(config)
    width = size.head_dim if config.model_type == "flex_olmo" else size.split_head_dim
    queries = size.heads * width if config.model_type == "flex_olmo" else size.hidden
    normed = Part(norm_params=queries + width * size.kv_heads)
    projections = attention(size, config.flag("attention_bias")) + normed
    return sparse(size, projections, routed(size, size.intermediate), qk_norm=True)


@having(experts_were="mixtral")
def minimax_m2(config: ConfigReader) -> Shape:
    """Mixtral with norms on whole queries and keys."""
    size = Sizes(config)
    projections = attention(size) + qk_norm(size, per_head=False)
    return sparse(size, projections, routed(size, size.intermediate), qk_norm=True)


def minimax_m3(config: ConfigReader) -> Shape:
    """Norms on query and key heads, and a shared expert with gate and up in one matrix."""
    size = Sizes(config)
    width = config.size("shared_intermediate_size", default=size.intermediate)
    moe = routed(size, size.intermediate) + gated_fused(size.hidden, width, role="shared_expert")
    wide = gated_fused(size.hidden, config.size("dense_intermediate_size", default=size.intermediate))
    only = dense_blocks(config, size.layers)
    return sparse(size, attention(size) + qk_norm(size), moe, wide, only, qk_norm=True)


def granite_moe(config: ConfigReader) -> Shape:
    """Granite with experts, a shared one in the -shared version, attention sinks in the -swa version."""
    size = Sizes(config)
    width = config.count("shared_intermediate_size")
    common = granite_shared(size, width) if config.model_type == "granitemoeshared" and width else Part()
    sinks = Part(other_params=size.heads) if config.model_type == "granitemoe_swa" else Part()
    projections = attention(size, config.flag("attention_bias")) + sinks
    return sparse(size, projections, routed(size, size.intermediate, router="router") + common)


def granite_shared(size: Sizes, width: int) -> Part:
    """The shared part of a Granite block: gate and up in one matrix."""
    return gated_fused(size.hidden, width, role="shared_expert", names=("input_linear", "output_linear"))


def qwen_dense_blocks(config: ConfigReader, layers: int) -> set[int]:
    """The dense blocks of Qwen MoE: mlp_only_layers, and those off the decoder_sparse_step."""
    step = config.size("decoder_sparse_step", default=1)
    only = {index for index in config.items("mlp_only_layers") if isinstance(index, int)}
    has_experts = config.count("num_experts", "num_local_experts") > 0
    return {i for i in range(layers) if i in only or not has_experts or (i + 1) % step}


@windowed(on_request=True, from_block=True)
def qwen3_moe(config: ConfigReader) -> Shape:
    """Qwen3 attention with experts."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    dense = gated(size.hidden, size.intermediate)
    only = qwen_dense_blocks(config, size.layers)
    moe = routed(size, config.size("moe_intermediate_size"))
    return sparse(size, projections, moe, dense, only, qk_norm=True)


@having(experts_were="qwen2_moe")
def mellum(config: ConfigReader) -> Shape:
    """Qwen3 attention; mlp_layer_types says which blocks have experts."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    moe = routed(size, config.size("moe_intermediate_size"))
    dense = gated(size.hidden, size.intermediate)
    return sparse(size, projections, moe, dense, dense_blocks(config, size.layers), qk_norm=True)


def shared_with_gate(size: Sizes) -> Part:
    """A shared expert behind a sigmoid gate."""
    width = size.config.size("shared_expert_intermediate_size")
    return shared(size, width) + Part((linear("shared_expert_gate", size.hidden, 1, role="router"),))


@windowed(on_request=True, from_block=True)
def qwen2_moe(config: ConfigReader) -> Shape:
    """Qwen2 attention with routed and shared experts."""
    size = Sizes(config)
    projections = attention(size, bias=config.flag("qkv_bias", default=True), out_bias=False)
    moe = routed(size, config.size("moe_intermediate_size")) + shared_with_gate(size)
    only = qwen_dense_blocks(config, size.layers)
    return sparse(size, projections, moe, gated(size.hidden, size.intermediate), only)


@windowed(full_every=2)
def gpt_oss(config: ConfigReader) -> Shape:
    """Experts with biases; attention sinks."""
    size = Sizes(config)
    moe = experts(
        size.hidden,
        size.intermediate,
        config.size("num_local_experts"),
        config.size("num_experts_per_tok"),
        bias=True,
        router="router",
        router_bias=True,
    )
    projections = attention(size, config.flag("attention_bias", default=True)) + Part(other_params=size.heads)
    return sparse(size, projections, moe)


def llama4(config: ConfigReader) -> Shape:
    """Llama 4: every n-th block routes, the others are dense; a shared expert; the router is an nn.Linear."""
    size = Sizes(config)
    moe = routed(size, size.intermediate, router="router", router_is_linear=True)
    moe += shared(size, size.intermediate)
    step = config.size("interleave_moe_layer_step", default=1)
    stated = config.items("moe_layers")
    sparse_blocks = set(stated) if stated else set(range(step - 1, size.layers, step))
    dense = gated(size.hidden, config.size("intermediate_size_mlp"))
    projections = attention(size, config.flag("attention_bias"))
    return sparse(size, projections, moe, dense, set(range(size.layers)) - sparse_blocks)


def phimoe(config: ConfigReader) -> Shape:
    """Phi 3.5 MoE: LayerNorm, a router that is an nn.Linear, a head with a bias when lm_head_bias is on."""
    size = Sizes(config)
    moe = routed(size, size.intermediate, router="router", router_is_linear=True)
    projections = attention(size, config.flag("attention_bias"))
    shape = sparse(size, projections, moe, norm="layernorm")
    return replace(shape, head_bias=config.flag("lm_head_bias"))


def aria(config: ConfigReader) -> Shape:
    """Aria's language model: routed and shared experts, all of one width."""
    size = Sizes(config)
    number = config.count("moe_num_shared_experts")
    moe = routed(size, size.intermediate, router="router") + shared(size, size.intermediate * number)
    return sparse(size, attention(size, config.flag("attention_bias")), moe)


@windowed(full_every=4)
@having(eager_layernorm=True, experts_were="qwen2_moe")
def cohere2_moe(config: ConfigReader) -> Shape:
    """Cohere's parallel block with experts."""
    size = Sizes(config)
    width = config.count("num_shared_experts") * config.size("intermediate_size")
    moe = routed(size, size.intermediate) + shared(size, width)
    prefix = config.count("prefix_dense_intermediate_size")
    dense = gated(size.hidden, prefix or size.intermediate)
    only = dense_blocks(config, size.layers)
    return sparse(
        size,
        attention(size, config.flag("attention_bias")),
        moe,
        dense,
        only,
        norm="layernorm",
        norms_per_block=1,
        norm_bias=False,
        parallel_block=True,
    )


@having(experts_were="qwen2_moe")
def hunyuan_moe(config: ConfigReader) -> Shape:
    """Hunyuan V1 MoE: experts and one shared expert of the same width; the router is an nn.Linear."""
    size = Sizes(config)
    moe = routed(size, size.intermediate, router="wg", router_is_linear=True)
    moe += gated(size.hidden, size.intermediate, role="shared_expert")
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    return sparse(size, projections, moe, qk_norm=True)


def dbrx(config: ConfigReader) -> Shape:
    """DBRX: one matrix for query, key and value, LayerNorm without bias, experts stacked along their width."""
    size = Sizes(config)
    inside = ConfigReader(config.section("attn_config"), "", config.where)
    ffn = ConfigReader(config.section("ffn_config"), "", config.where)
    keys = inside.size("kv_n_heads", default=1)
    width, count = ffn.size("ffn_hidden_size", default=3584), ffn.size("moe_num_experts", default=4)
    both = size.hidden + 2 * keys * size.split_head_dim
    projections = Part(
        (
            linear("Wqkv", size.hidden, both, role="attention"),
            linear("out_proj", size.hidden, size.hidden, role="attention"),
        )
    )
    moe = Part(
        (
            linear("layer", size.hidden, count, role="router"),
            linear("w1", size.hidden, width, role="expert", copies=count, fused=True),
            linear("v1", size.hidden, width, role="expert", copies=count, fused=True),
            linear("w2", width, size.hidden, role="expert", copies=count, fused=True),
        ),
        num_experts=count,
        experts_per_token=ffn.size("moe_top_k", default=1),
    )
    inside.check()
    ffn.check()
    return replace(sparse(size, projections, moe, norm="layernorm", norm_bias=False), kv_heads=keys)


def jetmoe(config: ConfigReader) -> Shape:
    """Experts in attention and feed-forward part, both with one bias for all."""
    size = Sizes(config)
    count, per_token = config.size("num_local_experts"), config.size("num_experts_per_tok")
    width = config.size("kv_channels") * size.kv_heads

    def pair(inner: int, outer: int, wide: int) -> Part:
        return Part(
            (
                linear("layer", size.hidden, count, role="router"),
                linear("input_linear", size.hidden, outer, role="expert", copies=count, fused=True),
                linear("output_linear", inner, wide, role="expert", copies=count, fused=True),
            ),
            other_params=size.hidden,
            num_experts=count,
            experts_per_token=min(per_token, count),
        )

    keys = Part((linear("kv_proj", size.hidden, 2 * width, role="attention"),))
    mlp = pair(size.intermediate, 2 * size.intermediate, size.hidden)
    shape = sparse(size, pair(width, width, size.hidden) + keys, mlp)
    # Each routed attention expert brings its share of the heads.
    shape.heads = size.kv_heads * per_token
    return shape


MOE: dict[str, Builder] = {
    "aria_text": aria,
    "cohere2_moe": cohere2_moe,
    "dbrx": dbrx,
    "flex_olmo": mixtral_with_bias,
    "gpt_oss": gpt_oss,
    "granitemoe": granite_moe,
    "granitemoe_swa": granite_moe,
    "granitemoeshared": granite_moe,
    "hunyuan_v1_moe": hunyuan_moe,
    "jetmoe": jetmoe,
    "llama4_text": llama4,
    "mellum": mellum,
    "minimax_m2": minimax_m2,
    "minimax_m3_vl_text": minimax_m3,
    "mixtral": mixtral,
    "olmoe": mixtral_with_bias,
    "phimoe": phimoe,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": having(experts_were="qwen2_moe")(qwen3_moe),
}
