"""Decoders whose first blocks are dense and whose later ones route to experts, most with a shared expert."""

from __future__ import annotations

from msgspec.structs import replace

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
from advisor.model.families.layers import dense_blocks
from advisor.model.families.moe import qwen_dense_blocks, routed, shared, sparse
from advisor.model.families.traits import Builder, having, windowed
from advisor.model.windows import layer_types, sliding_windows


def deepseek(config: ConfigReader) -> Shape:
    """Latent attention; the first blocks dense, then routed and shared experts."""
    size = Sizes(config)
    width = config.size("moe_intermediate_size")
    # Those with an indexer leave mlp_bias unused.
    indexed = config.model_type in ("deepseek_v32", "glm_moe_dsa")
    bias = config.flag("mlp_bias") and not indexed
    moe = routed(size, width) + shared(size, width * config.count("n_shared_experts"), bias)
    dense = gated(size.hidden, size.intermediate, bias)
    first = 1 if config.model_type in ("glm4_moe_lite", "axk1") else 0
    only = dense_blocks(config, size.layers, first)
    if config.model_type == "axk1":
        moe += norms(size.hidden, 1)
    projections = mla(size, config.flag("attention_bias"))
    if not indexed:
        return sparse(size, projections, moe, dense, only, kind="mla")
    own = projections + indexer(size)
    each = [own if has_own else projections for has_own in indexing_blocks(config, size.layers)]
    return sparse(size, each, moe, dense, only, kind="mla")


def indexing_blocks(config: ConfigReader, layers: int) -> list[bool]:
    """Whether each block has an indexer of its own; a shared one (GLM-5.2) is that of an earlier block."""
    letters = isinstance(config.get("index_topk_pattern"), str)
    pattern = list(config.text("index_topk_pattern")) if letters else config.items("index_topk_pattern")
    if stated := config.items("indexer_types") or pattern:
        return [str(kind).upper().startswith("F") for kind in stated[:layers]] + [True] * (layers - len(stated))
    every, first = (
        max(1, config.count("index_topk_freq", default=1)),
        config.count("index_skip_topk_offset", default=2),
    )
    return [max(index - first + 1, 0) % every == 0 for index in range(layers)]


def indexer(size: Sizes) -> Part:
    """The lightning indexer of sparse attention: it picks the keys that a query attends to."""
    config = size.config
    heads, width = config.size("index_n_heads"), config.size("index_head_dim")
    return Part(
        (
            linear("wq_b", config.size("q_lora_rank"), heads * width, role="attention"),
            linear("wk", size.hidden, width, role="attention"),
            linear("weights_proj", size.hidden, heads, role="attention"),
        ),
        norm_params=2 * width,
    )


def dense_first(config: ConfigReader) -> Shape:
    """GLM-4.5, dots.llm1, EXAONE MoE, Hunyuan V3, Solar Open: grouped-query attention, the first blocks dense, a
    shared expert."""
    size = Sizes(config, floors=True)
    kind = config.model_type
    normed = config.flag("use_qk_norm") if kind == "glm4_moe" else kind in ("dots1", "exaone_moe", "hy_v3")
    projections = attention(size, config.flag("attention_bias"), _out_bias(config))
    if normed:
        projections += qk_norm(size)
    width = config.size("moe_intermediate_size")
    number = config.count("n_shared_experts", "num_shared_experts")
    moe = routed(size, width) + shared(size, width * number)
    only = dense_blocks(config, size.layers, 1 if kind == "hy_v3" else 0)
    dense = gated(size.hidden, size.intermediate, config.flag("mlp_bias")) if only else None
    return sparse(size, projections, moe, dense, only, qk_norm=normed)


def _out_bias(config: ConfigReader) -> bool | None:
    """GLM-4.5 and Solar have no bias on the output projection, whatever attention_bias says."""
    return False if config.model_type in ("glm4_moe", "glm4v_moe_text", "solar_open") else None


def kolibri(config: ConfigReader) -> Shape:
    """Four norms in a block, experts in all, a shared expert."""
    size = Sizes(config)
    moe = routed(size, config.size("moe_intermediate_size"))
    moe += shared(size, config.count("shared_expert_intermediate_size"))
    return sparse(size, attention(size) + qk_norm(size), moe, norms_per_block=4, qk_norm=True)


@having(experts_were="qwen2_moe")
def ernie_moe(config: ConfigReader) -> Shape:
    """ERNIE 4.5: a stretch of blocks with experts, a correction bias that is a parameter, shared experts."""
    size = Sizes(config)
    bias = config.flag("use_bias")
    width = config.size("moe_intermediate_size")
    count = config.size("moe_num_experts")
    moe = routed(size, width) + Part(other_params=count)
    number = config.count("moe_num_shared_experts")
    if number:
        moe += gated(size.hidden, width * number, bias, role="shared_expert")
    start, every = config.count("moe_layer_start_index"), config.size("moe_layer_interval", default=1)
    end = config.get("moe_layer_end_index")
    last = end if isinstance(end, int) and end >= 0 else size.layers - 1
    routed_blocks = {i for i in range(size.layers) if (i + 1) % every == 0 and start <= i <= last}
    dense = gated(size.hidden, size.intermediate, bias)
    shape = sparse(size, attention(size, bias), moe, dense, set(range(size.layers)) - routed_blocks)
    return replace(shape, head_bias=bias)


@windowed(full_every=4)
@having(experts_were="qwen2_moe")
def afmoe(config: ConfigReader) -> Shape:
    """Four norms in a block, a gate on attention, a correction bias that is a parameter, an nn.Linear router."""
    size = Sizes(config)
    queries = size.heads * size.head_dim
    gate = Part((linear("gate_proj", size.hidden, queries, role="attention"),))
    width = config.size("moe_intermediate_size")
    moe = routed(size, width, router_is_linear=True) + Part(other_params=config.size("num_experts"))
    moe += shared(size, width * config.count("num_shared_experts"))
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size) + gate
    dense = gated(size.hidden, size.intermediate)
    only = dense_blocks(config, size.layers)
    return sparse(size, projections, moe, dense, only, norms_per_block=4, qk_norm=True)


@windowed(full_every=4)
def laguna(config: ConfigReader) -> Shape:
    """A gate on attention, a number of heads for each block, a correction bias that is a parameter."""
    size = Sizes(config)
    width = config.size("moe_intermediate_size")
    moe = routed(size, width) + Part(other_params=config.size("num_experts"))
    moe += shared(size, config.count("shared_expert_intermediate_size"))
    dense = gated(size.hidden, size.intermediate)
    only = dense_blocks(config, size.layers, 1)
    per_layer = config.items("num_attention_heads_per_layer")
    heads = config.sizes("num_attention_heads_per_layer", size.layers) if per_layer else [size.heads] * size.layers
    per_head = config.get("gating") in (True, "per-head")
    blocks = []
    for index, window in enumerate(sliding_windows(config, size.layers)):
        one = Sizes(config)
        one.heads = heads[index]
        gate = linear("g_proj", size.hidden, one.heads * (1 if per_head else size.head_dim), role="attention")
        projections = attention(one, config.flag("attention_bias")) + qk_norm(size) + Part((gate,))
        feed = dense if index in only else moe
        blocks.append(block(projections, feed, norms(size.hidden, 2), sliding_window=window))
    return Shape(blocks=blocks, final_norm_params=size.hidden, qk_norm=True)


@having(experts_were="qwen2_moe")
def beam(config: ConfigReader) -> Shape:
    """Four norms in a block and a gate on attention with a bias for each head."""
    size = Sizes(config)
    gate = linear("gate_proj", size.hidden, size.heads * size.head_dim, role="attention")
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    projections += Part((gate,), other_params=size.heads)
    moe = routed(size, config.size("moe_intermediate_size"))
    dense = gated(size.hidden, size.intermediate)
    only = dense_blocks(config, size.layers, 3)
    return sparse(size, projections, moe, dense, only, norms_per_block=4, qk_norm=True)


def flint(config: ConfigReader) -> Shape:
    """Attention sinks, a shared expert, dense blocks by mlp_only_layers."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size) + Part(other_params=size.heads)
    moe = routed(size, config.size("moe_intermediate_size"))
    moe += shared(size, config.count("shared_expert_intermediate_size"), bias=False)
    only = qwen_dense_blocks(config, size.layers)
    if config.get("mlp_only_layers") is None:
        only |= {0, 1}
    return sparse(size, projections, moe, gated(size.hidden, size.intermediate), only, qk_norm=True)


@having(experts_were="qwen2_moe")
def longcat(config: ConfigReader) -> Shape:
    """Two latent attentions and two dense parts in a block, experts beside them, some of which do nothing."""
    size = Sizes(config)
    width, count = config.size("expert_ffn_hidden_size"), config.size("n_routed_experts")
    total = count + config.count("zero_expert_num")
    moe = Part(
        (
            linear("classifier", size.hidden, total, config.flag("router_bias"), "router"),
            linear("gate_up_proj", size.hidden, 2 * width, role="expert", copies=total, fused=True),
            linear("down_proj", width, size.hidden, role="expert", copies=count, fused=True),
        ),
        num_experts=total,
        experts_per_token=config.size("moe_topk"),
    )
    half = mla(size, config.flag("attention_bias")) + gated(size.hidden, size.intermediate) + norms(size.hidden, 2)
    one = block(half, half, moe, attention="mla")
    return Shape(blocks=[one] * size.layers, final_norm_params=size.hidden)


def mimo_v2(config: ConfigReader) -> Shape:
    """Full and window blocks with key and value widths of their own; sinks in the window blocks."""
    size = Sizes(config)
    width, value = size.head_dim, config.size("v_head_dim", default=size.head_dim)
    moe = routed(size, config.size("moe_intermediate_size"))
    dense = gated(size.hidden, size.intermediate)
    only = dense_blocks(config, size.layers, 1)
    window = config.maybe("sliding_window")
    stated = layer_types(config, size.layers)
    blocks = []
    for index in range(size.layers):
        sliding = "sliding" in stated[index] if stated else index != 0 and (index + 1) % 6 != 0
        keys = 2 * size.kv_heads if sliding else size.kv_heads
        bias = config.flag("attention_bias")
        projections = Part(
            (
                linear("q_proj", size.hidden, size.heads * width, bias, "attention"),
                linear("k_proj", size.hidden, keys * width, bias, "attention"),
                linear("v_proj", size.hidden, keys * value, bias, "attention"),
                linear("o_proj", size.heads * value, size.hidden, False, "attention"),
            ),
            other_params=size.heads if sliding else 0,
        )
        feed = dense if index in only else moe
        inside = norms(size.hidden, 2)
        blocks.append(block(projections, feed, inside, sliding_window=window if sliding else None))
    return Shape(blocks=blocks, final_norm_params=size.hidden)


DENSE_FIRST: dict[str, Builder] = {
    "afmoe": afmoe,
    "axk1": deepseek,
    "beam": beam,
    "deepseek_v2": having(experts_were="qwen2_moe")(deepseek),
    "flint": flint,
    "longcat_flash": longcat,
    "deepseek_v3": having(experts_were="qwen2_moe")(deepseek),
    "deepseek_v32": having(experts_were="qwen2_moe")(deepseek),
    "dots1": windowed(on_request=True)(having(experts_were="qwen2_moe")(dense_first)),
    "ernie4_5_moe": ernie_moe,
    "exaone_moe": windowed(full_every=4)(having(experts_were="qwen2_moe")(dense_first)),
    "glm4_moe": having(experts_were="qwen2_moe")(dense_first),
    "glm4v_moe_text": dense_first,
    "glm4_moe_lite": having(experts_were="qwen2_moe")(deepseek),
    "glm_moe_dsa": having(experts_were="qwen2_moe")(deepseek),
    "hy_v3": dense_first,
    "kolibri1": kolibri,
    "laguna": laguna,
    "mimo_v2_flash": mimo_v2,
    "mistral4": deepseek,
    "solar_open": having(experts_were="qwen2_moe")(dense_first),
}
