"""DeepSeek V4: compressed attention, grouped output projections, hyper-connections between the blocks."""

from __future__ import annotations

from advisor.model.blocks import Part, Shape, Sizes, block, gated, linear, norms
from advisor.model.config import ConfigReader
from advisor.model.families.moe import routed
from advisor.model.families.traits import Builder
from advisor.model.spec import Linear
from advisor.model.windows import layer_types

_SPARSE, _HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
_BY_RATIO = {0: "sliding_attention", 4: _SPARSE, 128: _HEAVY}


def deepseek_v4(config: ConfigReader) -> Shape:
    """Experts in every block; the kind of attention differs from block to block."""
    size = Sizes(config)
    width = config.size("moe_intermediate_size")
    bias = config.flag("mlp_bias")
    moe = routed(size, width) + gated(size.hidden, width, bias, role="shared_expert")
    streams = config.size("hc_mult")
    mixed = (2 + streams) * streams
    connection = Part(other_params=2 * (mixed * streams * size.hidden + mixed + 3))
    window = config.maybe("sliding_window")
    blocks = [
        block(
            _attention(size),
            _compressor(size, kind),
            moe,
            norms(size.hidden, 2),
            connection,
            attention="mla",
            sliding_window=window,
        )
        for kind in _kinds(config, size.layers)
    ]
    outside = streams * streams * size.hidden + streams + 1
    return Shape(blocks=blocks, final_norm_params=size.hidden, other_params=outside, kv_heads=1)


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    stated = layer_types(config, layers)
    ratios = config.items("compress_ratios")
    if not stated and ratios:
        stated = [_BY_RATIO.get(ratio, _HEAVY) for ratio in ratios[:layers]]
    return stated or [_HEAVY if index < 2 or index % 2 == 0 else _SPARSE for index in range(layers)]


def _attention(size: Sizes) -> Part:
    config = size.config
    rank, groups, out_rank = config.size("q_lora_rank"), config.size("o_groups"), config.size("o_lora_rank")
    queries = size.heads * size.head_dim
    made = (
        linear("q_a_proj", size.hidden, rank, role="attention"),
        linear("q_b_proj", rank, queries, role="attention"),
        linear("kv_proj", size.hidden, size.head_dim, role="attention"),
        linear("o_a_proj", queries // groups, groups * out_rank, role="attention"),
        linear("o_b_proj", groups * out_rank, size.hidden, role="attention"),
    )
    return Part(made, norm_params=rank + size.head_dim, other_params=size.heads)


def _compressor(size: Sizes, kind: str) -> Part:
    """What squeezes keys and values, and in the sparse kind the indexer that picks among them."""
    if kind not in (_SPARSE, _HEAVY):
        return Part()
    rates = {_SPARSE: 4, _HEAVY: 128, **size.config.section("compress_rates")}
    rate = int(rates[kind])
    if kind == _HEAVY:
        return _squeeze(size, size.head_dim, size.head_dim, rate)
    config = size.config
    heads, width = config.size("index_n_heads"), config.size("index_head_dim")
    picked: tuple[Linear, ...] = (
        linear("q_b_proj", config.size("q_lora_rank"), heads * width, role="attention"),
        linear("weights_proj", size.hidden, heads, role="attention"),
    )
    whole = _squeeze(size, 2 * size.head_dim, size.head_dim, rate)
    return whole + _squeeze(size, 2 * width, width, rate) + Part(picked)


def _squeeze(size: Sizes, outputs: int, normed: int, rate: int) -> Part:
    made = tuple(linear(name, size.hidden, outputs, role="attention") for name in ("kv_proj", "gate_proj"))
    return Part(made, norm_params=normed, other_params=rate * outputs)


DEEPSEEK_V4: dict[str, Builder] = {"deepseek_v4": deepseek_v4}
