"""The parts that decoder blocks are put together from: attention, feed-forward, experts, mixers, norms.

A Part is the linears and the other parameters of one piece of a block; parts add up to a block. Each builder
reads its sizes from a ConfigReader; which parts make up a family is said in `families/`.
"""

from __future__ import annotations

from functools import cached_property

import msgspec

from advisor.base.language import tr
from advisor.model.config import ConfigReader
from advisor.model.spec import AttentionKind, DeltaRule, LayerGroup, Linear, Norm, Role, Traits


class Part(msgspec.Struct, frozen=True):
    """A piece of a block."""

    linears: tuple[Linear, ...] = ()
    norm_params: int = 0
    other_params: int = 0
    num_experts: int = 0
    experts_per_token: int = 0
    delta: DeltaRule | None = None
    qk_norm_params: int = 0
    """The part of norm_params that norms queries and keys."""

    def __add__(self, more: Part) -> Part:
        return Part(
            self.linears + more.linears,
            self.norm_params + more.norm_params,
            self.other_params + more.other_params,
            self.num_experts or more.num_experts,
            self.experts_per_token or more.experts_per_token,
            self.delta or more.delta,
            self.qk_norm_params + more.qk_norm_params,
        )


class Sizes:
    """The sizes that nearly every family states, read once."""

    def __init__(self, config: ConfigReader, *, floors: bool = False) -> None:
        self.config = config
        self.floors = floors
        """Whether the family cuts the width of a head down to a whole number where others refuse the config."""

    @cached_property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.config.size("hidden_size", "d_model", "n_embd", "dim")

    @cached_property
    def layers(self) -> int:
        """Number of blocks."""
        return self.config.size("num_hidden_layers", "num_layers", "n_layers", "n_layer", "decoder_layers")

    @cached_property
    def heads(self) -> int:
        """Query heads."""
        return self.config.size("num_attention_heads", "num_heads", "n_heads", "n_head", "decoder_attention_heads")

    @cached_property
    def kv_heads(self) -> int:
        """Key and value heads; those of the queries when not stated."""
        stated = self.config.maybe("num_key_value_heads")
        return stated or self.heads

    @cached_property
    def head_dim(self) -> int:
        """Width of one head."""
        stated = self.config.maybe("head_dim")
        return stated or self.split_head_dim

    @property
    def split_head_dim(self) -> int:
        """Width of one head when the hidden size is split evenly."""
        if (
            not self.floors
            and self.hidden % self.heads
            and self.config.has("hidden_size")
            and self.config.has("num_attention_heads")
        ):
            what = tr(
                "hidden_size {hidden} cannot be split over num_attention_heads {heads}",
                hidden=self.hidden,
                heads=self.heads,
            )
            self.config.problem("num_attention_heads", what)
        return max(1, self.hidden // self.heads)

    @cached_property
    def intermediate(self) -> int:
        """Width of the feed-forward part."""
        return self.config.size("intermediate_size")

    @cached_property
    def vocab(self) -> int:
        """Rows of the embedding."""
        return self.config.size("vocab_size", "padded_vocab_size")

    @cached_property
    def tied(self) -> bool:
        """Whether the output layer shares the embedding's weights."""
        return self.config.flag("tie_word_embeddings", default=True)


class Shape(msgspec.Struct):
    """What a family makes of a config: the blocks in order, and what lies outside them."""

    blocks: list[LayerGroup]
    final_norm_params: int
    other_params: int = 0
    """Outside the blocks, those of `outer` included."""
    outer: tuple[Linear, ...] = ()
    norm: Norm = "rmsnorm"
    gated_mlp: bool = True
    parallel_block: bool = False
    qk_norm: bool = False
    embedding_params: int | None = None
    """None: vocab_size x hidden_size."""
    head_bias: bool = False
    tied: bool | None = None
    """None: as tie_word_embeddings says."""
    heads: int | None = None
    """None: as num_attention_heads says."""
    kv_heads: int | None = None
    """None: as num_key_value_heads says."""
    attention_free: bool = False
    """No block attends: so there are no real heads, and the spec has one head of the hidden size."""
    traits: Traits = Traits()
    exact: bool = True
    notes: list[str] = []


def linear(
    name: str,
    inputs: int,
    outputs: int,
    bias: bool = False,
    role: Role = "mlp",
    copies: int = 1,
    fused: bool = False,
) -> Linear:
    """A weight matrix, in one line."""
    return Linear(
        name=name, in_features=inputs, out_features=outputs, bias=bias, role=role, copies=copies, fused=fused
    )


def block(*parts: Part, attention: AttentionKind = "full", sliding_window: int | None = None) -> LayerGroup:
    """One block made of these parts."""
    whole = sum(parts, Part())
    return LayerGroup(
        count=1,
        linears=whole.linears,
        norm_params=whole.norm_params,
        other_params=whole.other_params,
        attention="sliding" if attention == "full" and sliding_window else attention,
        sliding_window=sliding_window,
        num_experts=whole.num_experts,
        experts_per_token=whole.experts_per_token,
        delta=whole.delta,
        qk_norm_params=whole.qk_norm_params,
    )


def grouped(blocks: list[LayerGroup]) -> tuple[LayerGroup, ...]:
    """Equal blocks together, in the order in which each kind first appears."""
    counts: dict[LayerGroup, int] = {}
    for one in blocks:
        counts[one] = counts.get(one, 0) + one.count
    return tuple(
        LayerGroup(
            count=count,
            linears=one.linears,
            norm_params=one.norm_params,
            other_params=one.other_params,
            attention=one.attention,
            sliding_window=one.sliding_window,
            num_experts=one.num_experts,
            experts_per_token=one.experts_per_token,
            delta=one.delta,
            qk_norm_params=one.qk_norm_params,
        )
        for one, count in counts.items()
    )


def norms(width: int, count: int, kind: Norm = "rmsnorm", bias: bool = True) -> Part:
    """`count` norm layers; a LayerNorm has a bias beside its weight."""
    return Part(norm_params=count * width * (2 if kind == "layernorm" and bias else 1))


def attention(
    size: Sizes,
    bias: bool = False,
    out_bias: bool | None = None,
    names: tuple[str, str, str, str] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    head_dim: int | None = None,
    kv_heads: int | None = None,
    query_factor: int = 1,
) -> Part:
    """Separate query, key, value and output projections; `query_factor` 2 where the query carries a gate."""
    width = head_dim or size.head_dim
    queries, keys = size.heads * width, (kv_heads or size.kv_heads) * width
    q, k, v, o = names
    return Part(
        (
            linear(q, size.hidden, queries * query_factor, bias, "attention"),
            linear(k, size.hidden, keys, bias, "attention"),
            linear(v, size.hidden, keys, bias, "attention"),
            linear(o, queries, size.hidden, bias if out_bias is None else out_bias, "attention"),
        )
    )


def fused_attention(size: Sizes, name: str, out_name: str, bias: bool = False, out_bias: bool | None = None) -> Part:
    """One matrix for query, key and value, and an output projection."""
    queries, keys = size.heads * size.head_dim, size.kv_heads * size.head_dim
    return Part(
        (
            linear(name, size.hidden, queries + 2 * keys, bias, "attention"),
            linear(out_name, queries, size.hidden, bias if out_bias is None else out_bias, "attention"),
        )
    )


def qk_norm(size: Sizes, per_head: bool = True) -> Part:
    """RMSNorm on queries and keys: over one head (shared by all), or over all heads at once."""
    values = 2 * size.head_dim if per_head else (size.heads + size.kv_heads) * size.head_dim
    return Part(norm_params=values, qk_norm_params=values)


def gated(
    hidden: int,
    width: int,
    bias: bool = False,
    role: Role = "mlp",
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
) -> Part:
    """Gate and up projection side by side, then down."""
    gate, up, down = names
    return Part(
        (
            linear(gate, hidden, width, bias, role),
            linear(up, hidden, width, bias, role),
            linear(down, width, hidden, bias, role),
        )
    )


def gated_fused(
    hidden: int,
    width: int,
    bias: bool = False,
    role: Role = "mlp",
    names: tuple[str, str] = ("gate_up_proj", "down_proj"),
) -> Part:
    """Gate and up projection in one matrix, then down."""
    return Part(
        (
            linear(names[0], hidden, 2 * width, bias, role),
            linear(names[1], width, hidden, bias, role),
        )
    )


def plain(hidden: int, width: int, bias: bool = False, names: tuple[str, str] = ("up_proj", "down_proj")) -> Part:
    """A feed-forward part without a gate."""
    return Part((linear(names[0], hidden, width, bias), linear(names[1], width, hidden, bias)))


def experts(
    hidden: int,
    width: int,
    count: int,
    per_token: int,
    *,
    bias: bool = False,
    is_gated: bool = True,
    router: str = "gate",
    router_bias: bool = False,
    router_is_linear: bool = False,
) -> Part:
    """Routed experts as transformers 5 holds them: two 3-D parameters, and a router.

    `router_is_linear` is True where the router is an nn.Linear (so that "all-linear" adapts it) and not a bare
    parameter. Routing itself has no other parameters; a correction bias that is one is added by the family.
    """
    up = ("gate_up_proj", 2 * width) if is_gated else ("up_proj", width)
    return Part(
        (
            linear(router, hidden, count, router_bias, "router", fused=not router_is_linear),
            linear(up[0], hidden, up[1], bias, "expert", count, fused=True),
            linear("down_proj", width, hidden, bias, "expert", count, fused=True),
        ),
        num_experts=count,
        experts_per_token=min(per_token, count),
    )


def mla(size: Sizes, bias: bool = False, out_bias: bool | None = None) -> Part:
    """Multi-head latent attention: low-rank queries (when q_lora_rank is set) and low-rank keys and values."""
    config = size.config
    nope, rope = config.size("qk_nope_head_dim"), config.size("qk_rope_head_dim")
    value, kv_rank = config.maybe("v_head_dim") or size.split_head_dim, config.size("kv_lora_rank")
    q_rank = config.maybe("q_lora_rank")
    queries = size.heads * (nope + rope)
    out = bias if out_bias is None else out_bias
    if q_rank:
        query = Part(
            (
                linear("q_a_proj", size.hidden, q_rank, bias, "attention"),
                linear("q_b_proj", q_rank, queries, False, "attention"),
            ),
            norm_params=q_rank,
        )
    else:
        query = Part((linear("q_proj", size.hidden, queries, False, "attention"),))
    return query + Part(
        (
            linear("kv_a_proj_with_mqa", size.hidden, kv_rank + rope, bias, "attention"),
            linear("kv_b_proj", kv_rank, size.heads * (nope + value), False, "attention"),
            linear("o_proj", size.heads * value, size.hidden, out, "attention"),
        ),
        norm_params=kv_rank,
    )
