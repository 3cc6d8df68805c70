"""Decoders with routed experts."""

from __future__ import annotations

from advisor.model.blocks import Part, Shape, Sizes, attention, block, experts, gated, linear, mla, norms, qk_norm
from advisor.model.config import ConfigReader
from advisor.model.families.dense import Builder, gpt_oss_attention
from advisor.model.spec import AttentionKind, LayerGroup
from advisor.model.windows import sliding_windows


def sparse(
    size: Sizes,
    projections: Part,
    moe: Part,
    dense: Part | None = None,
    dense_layers: set[int] | None = None,
    kind: AttentionKind = "full",
    **traits: bool,
) -> Shape:
    """A model whose blocks route to experts, except those of `dense_layers`."""
    inside = norms(size.hidden, 2)
    blocks: list[LayerGroup] = []
    for index, window in enumerate(sliding_windows(size.config, size.layers)):
        feed = dense if dense is not None and index in (dense_layers or set()) else moe
        blocks.append(block(projections, feed, inside, attention=kind, sliding_window=window))
    return Shape(blocks=blocks, final_norm_params=size.hidden, **traits)  # type: ignore[arg-type]


def mixtral(config: ConfigReader) -> Shape:
    """Experts in every block."""
    size = Sizes(config)
    moe = experts(
        size.hidden, size.intermediate, config.size("num_local_experts"), config.size("num_experts_per_tok")
    )
    return sparse(size, attention(size), moe)


def qwen_sparse_layers(config: ConfigReader, layers: int) -> set[int]:
    """The dense blocks of Qwen MoE: mlp_only_layers, and those off the decoder_sparse_step."""
    step = config.size("decoder_sparse_step", default=1)
    only = {index for index in config.items("mlp_only_layers") if isinstance(index, int)}
    has_experts = config.count("num_experts") > 0
    return {i for i in range(layers) if i in only or not has_experts or (i + 1) % step}


def qwen_experts(size: Sizes) -> Part:
    """Routed experts of the Qwen line."""
    config = size.config
    width = config.size("moe_intermediate_size")
    return experts(size.hidden, width, config.size("num_experts"), config.size("num_experts_per_tok"))


def qwen3_moe(config: ConfigReader) -> Shape:
    """Qwen3 attention with experts."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    dense = gated(size.hidden, size.intermediate)
    only = qwen_sparse_layers(config, size.layers)
    return sparse(size, projections, qwen_experts(size), dense, only, qk_norm=True)


def shared_with_gate(size: Sizes) -> Part:
    """A shared expert behind a sigmoid gate."""
    width = size.config.size("shared_expert_intermediate_size")
    gate = linear("shared_expert_gate", size.hidden, 1, role="router")
    return gated(size.hidden, width, role="shared_expert") + Part((gate,))


def qwen2_moe(config: ConfigReader) -> Shape:
    """Qwen2 attention with routed and shared experts."""
    size = Sizes(config)
    projections = attention(size, bias=config.flag("qkv_bias", default=True), out_bias=False)
    moe = qwen_experts(size) + shared_with_gate(size)
    only = qwen_sparse_layers(config, size.layers)
    return sparse(size, projections, moe, gated(size.hidden, size.intermediate), only)


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
    return sparse(size, gpt_oss_attention(size), moe)


def deepseek(config: ConfigReader) -> Shape:
    """Latent attention; the first blocks dense, then routed and shared experts."""
    size = Sizes(config)
    width = config.size("moe_intermediate_size")
    moe = experts(size.hidden, width, config.size("n_routed_experts"), config.size("num_experts_per_tok"))
    shared = config.count("n_shared_experts")
    if shared:
        moe += gated(size.hidden, width * shared, role="shared_expert")
    first = config.count("first_k_dense_replace")
    dense = gated(size.hidden, size.intermediate)
    projections = mla(size, config.flag("attention_bias"))
    return sparse(size, projections, moe, dense, set(range(first)), "mla")


MOE: dict[str, Builder] = {
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "gpt_oss": gpt_oss,
    "mixtral": mixtral,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe,
}
