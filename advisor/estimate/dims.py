"""What the activation model needs of one block: its widths, read from the linears of a ModelSpec."""

from __future__ import annotations

from typing import NamedTuple

from advisor.model.spec import DeltaRule, LayerGroup, Linear, ModelSpec


class Feed(NamedTuple):
    """One feed-forward path of a block: dense, shared, or the routed experts that one token passes through."""

    width: int
    gated: bool
    times: int
    """How many of it one token passes: 1, or experts_per_token."""
    inputs: tuple[Linear, ...]
    output: Linear | None
    experts: int
    """Routed experts of the block; 0 for a dense or shared path."""


class Dims(NamedTuple):
    """Widths of one kind of block, in values for each token."""

    blocks: int
    hidden: int
    query: int
    key: int
    value: int
    attended: int
    """Width of the attention output: the input of the output projection."""
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None
    attention_inputs: tuple[Linear, ...]
    attention_output: Linear | None
    feeds: tuple[Feed, ...]
    router_outputs: int
    mixer_inputs: tuple[Linear, ...]
    parallel: bool
    norms: int
    qk_norm: bool
    layernorm: bool
    delta: DeltaRule | None
    value_storage: int
    """Width of the tensor whose storage the values are a view of: a fused projection's whole output, or their own."""


def block_dims(spec: ModelSpec, group: LayerGroup) -> Dims:
    """The widths of one group of blocks."""
    attention = [ln for ln in group.linears if ln.role == "attention"]
    output = next((ln for ln in reversed(attention) if ln.out_features == spec.hidden_size), None)
    inputs = tuple(ln for ln in attention if ln is not output)
    attended = output.in_features if output is not None else 0
    query, key, value = _heads(spec, group, inputs, attended)
    return Dims(
        blocks=group.count,
        hidden=spec.hidden_size,
        query=query,
        key=key,
        value=value,
        attended=attended,
        heads=spec.num_attention_heads if attention else 0,
        kv_heads=spec.num_key_value_heads,
        head_dim=spec.head_dim,
        window=group.sliding_window,
        attention_inputs=inputs,
        attention_output=output,
        feeds=_feeds(spec, group),
        router_outputs=sum(ln.out_features for ln in group.linears if ln.role == "router"),
        mixer_inputs=tuple(ln for ln in group.linears if ln.role == "mixer"),
        parallel=spec.parallel_block,
        norms=_norm_count(spec, group),
        qk_norm=spec.qk_norm,
        layernorm=spec.norm == "layernorm",
        delta=group.delta,
        value_storage=_value_storage(inputs, value),
    )


def _heads(spec: ModelSpec, group: LayerGroup, inputs: tuple[Linear, ...], attended: int) -> tuple[int, int, int]:
    """Values that enter the attention kernel for one token: queries, keys, values."""
    if not attended:
        return 0, 0, 0
    if group.attention == "mla":
        queries = next((ln.out_features for ln in inputs if ln.name in ("q_b_proj", "q_proj")), attended)
        return queries, queries, attended
    total = sum(ln.out_features for ln in inputs)
    key = next(
        (ln.out_features for ln in inputs if ln.name in ("k_proj", "key", "k")), max(0, (total - attended) // 2)
    )
    return attended, min(key, attended), min(key, attended)


def _value_storage(inputs: tuple[Linear, ...], value: int) -> int:
    fused = next((ln.out_features for ln in inputs if ln.name == "kv_b_proj"), 0)
    if len(inputs) == 1:
        fused = inputs[0].out_features
    return max(fused, value)


def _feeds(spec: ModelSpec, group: LayerGroup) -> tuple[Feed, ...]:
    feeds = []
    for role in ("mlp", "shared_expert", "expert"):
        linears = [ln for ln in group.linears if ln.role == role]
        if not linears:
            continue
        output = next((ln for ln in reversed(linears) if ln.out_features == spec.hidden_size), None)
        inputs = tuple(ln for ln in linears if ln is not output)
        width = output.in_features if output is not None else max(ln.out_features for ln in inputs)
        entering = sum(ln.out_features for ln in inputs)
        feeds.append(
            Feed(
                width=width,
                gated=entering >= 2 * width,
                times=max(1, group.experts_per_token) if role == "expert" else 1,
                inputs=inputs,
                output=output,
                experts=max(1, group.num_experts) if role == "expert" else 0,
            )
        )
    return tuple(feeds)


def _norm_count(spec: ModelSpec, group: LayerGroup) -> int:
    """Norms over the hidden width in one block (2 for most, 4 for Gemma 2 and 3, 1 for parallel blocks)."""
    per_norm = spec.hidden_size * (2 if spec.norm == "layernorm" else 1)
    around = group.norm_params - group.qk_norm_params
    return max(1, min(4, around // per_norm)) if group.norm_params else 2
