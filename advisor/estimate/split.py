"""The part of a model that one GPU works with where matrices or experts are split over several."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from advisor.model.spec import LayerGroup, Linear, ModelSpec

_SHAPES = 256


class _ById:
    """A shape as a key: by identity, which is quick, and which others build on."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def __hash__(self) -> int:
        return id(self.spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.spec is self.spec


def tensor_part(model: ModelSpec, degree: int) -> ModelSpec:
    """One GPU's part under tensor parallelism: first matrices of a pair by columns, second ones by rows, heads and
    vocabulary in equal parts, norms and routers whole (Shoeybi et al. 2019)."""
    return model if degree == 1 else _tensor_part(_ById(model), degree)


@lru_cache(maxsize=_SHAPES)
def _tensor_part(key: _ById, degree: int) -> ModelSpec:
    model = key.spec
    return msgspec.structs.replace(
        model,
        layers=tuple(
            msgspec.structs.replace(group, linears=_linear_parts(group, model, degree)) for group in model.layers
        ),
        num_attention_heads=max(1, model.num_attention_heads // degree),
        num_key_value_heads=max(1, model.num_key_value_heads // degree),
        vocab_size=-(-model.vocab_size // degree),
        embedding_params=model.embedding_params // degree,
        head_params=model.head_params // degree,
    )


def _linear_parts(group: LayerGroup, model: ModelSpec, degree: int) -> tuple[Linear, ...]:
    """The last matrix of each path that returns to the hidden width is split by rows, the others by columns."""
    returning = {linear.role: linear for linear in group.linears if linear.out_features == model.hidden_size}
    parts = []
    for linear in group.linears:
        if linear.role == "router":
            part = linear
        elif returning.get(linear.role) is linear:
            part = msgspec.structs.replace(linear, in_features=-(-linear.in_features // degree))
        else:
            least = model.head_dim if linear.role == "attention" else 1
            part = msgspec.structs.replace(linear, out_features=max(least, -(-linear.out_features // degree)))
        parts.append(part)
    return tuple(parts)


def expert_part(model: ModelSpec, degree: int) -> ModelSpec:
    """One GPU's part under expert parallelism: its share of the routed experts, all else whole."""
    if degree == 1:
        return model
    layers = tuple(
        msgspec.structs.replace(
            group,
            linears=tuple(
                msgspec.structs.replace(linear, copies=-(-linear.copies // degree))
                if linear.role == "expert"
                else linear
                for linear in group.linears
            ),
        )
        for group in model.layers
    )
    return msgspec.structs.replace(model, layers=layers)
