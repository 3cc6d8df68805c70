"""Trained parameters of each method, exactly, from the linears of a ModelSpec.

Sources: LoRA's two matrices of rank r for a linear (Hu et al. 2021) as peft lays them out, 3-D experts as peft's
ParamWrapper does (rank r for each expert); the bottleneck adapter of Houlsby et al. 2019 behind attention and
feed-forward part; prefix tuning as peft's PrefixEncoder without projection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from advisor.model.spec import Linear, ModelSpec
from trainers.method import Method
from trainers.plan import TrainingPlan

ALL_LINEAR = "all-linear"
EMBEDDING_NAMES = ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "embedding", "embeddings")
REMAPPED_NAMES: dict[str, dict[str, str]] = {
    "mixtral": {"gate": "gate", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}
"""By `Traits.experts_were`: old name of a part of the experts -> what it became, in peft 0.21
(utils/transformers_weight_conversion.py) with transformers 5.23 (conversion_mapping.py)."""

HEAD_NAMES = ("lm_head", "embed_out", "output", "output_layer", "head")


_TARGETED: dict[tuple[object, ...], tuple[ModelSpec, tuple[tuple[int, Linear], ...]]] = {}
"""Asked for many times by a search over plans of one model."""
_TARGETED_LIMIT = 1024


def linear_names(spec: ModelSpec) -> tuple[str, ...]:
    """The module names that LoRA can target, in the order in which they appear; experts held in 3-D left out."""
    names = [ln.name for group in spec.layers for ln in group.linears if not ln.fused]
    names += [ln.name for ln in spec.outer_linears]
    return tuple(dict.fromkeys(names))


def expert_names(spec: ModelSpec) -> tuple[str, ...]:
    """The 3-D expert parameters, which peft reaches by `target_parameters`."""
    names = [ln.name for group in spec.layers for ln in group.linears if ln.fused and ln.role == "expert"]
    return tuple(dict.fromkeys(names))


def targeted(
    spec: ModelSpec, targets: Collection[str], expert_targets: Collection[str] = ()
) -> tuple[tuple[int, Linear], ...]:
    """Every linear that LoRA adapts, with the number of blocks that have it (1 outside the blocks).

    `targets` holds names as peft matches them (only the last part of a dotted name counts here), or "all-linear":
    every nn.Linear but the head. Bare parameters (3-D experts, most routers) are adapted when named in
    `expert_targets`. Where experts became 3-D parameters (`Traits.experts_were`) peft moves their old names, which
    "all-linear" includes, to these parameters, and leaves dense and shared parts of the same names alone; a matrix
    that holds gate and up together then gets twice the rank, and comes twice here.
    """
    key = (id(spec), *sorted(targets), "", *sorted(expert_targets))
    known = _TARGETED.get(key)
    if known is None:
        if len(_TARGETED) >= _TARGETED_LIMIT:
            _TARGETED.clear()
        # the spec is kept so that its id stays its own
        known = _TARGETED[key] = (spec, tuple(_targeted(spec, targets, expert_targets)))
    return known[1]


def _targeted(
    spec: ModelSpec, targets: Collection[str], expert_targets: Collection[str]
) -> Iterator[tuple[int, Linear]]:
    modules, parameters, doubled = _resolved(spec, targets)
    parameters |= {_leaf(name) for name in expert_targets}
    places = [(group.count, linear) for group in spec.layers for linear in group.linears]
    places += [(1, linear) for linear in spec.outer_linears]
    for count, linear in places:
        is_parameter = linear.fused or (linear.role == "router" and linear.name not in modules)
        if linear.name in (parameters if is_parameter else modules):
            yield count, linear
            if is_parameter and linear.name in doubled:
                yield count, linear


def _resolved(spec: ModelSpec, targets: Collection[str]) -> tuple[set[str], set[str], set[str]]:
    """(names of modules, names of parameters, parameters with twice the rank) that peft makes of `targets`."""
    names = {_leaf(name) for name in targets}
    if ALL_LINEAR in names:
        names |= set(linear_names(spec))
    moved = _moved(spec)
    if not moved:
        return names, set(), set()
    if ALL_LINEAR in names:
        names |= set(moved)
    parameters = {new for old, new in moved.items() if old in names}
    halves = [old for old, new in moved.items() if new == "gate_up_proj"]
    doubled = {"gate_up_proj"} if all(half in names for half in halves) else set()
    return names - set(moved), parameters, doubled


def _moved(spec: ModelSpec) -> dict[str, str]:
    return REMAPPED_NAMES.get(spec.traits.experts_were or "", {})


def default_lora_targets(spec: ModelSpec) -> tuple[str, ...]:
    """Targets that peft accepts and that leave 3-D experts and routers alone: ("all-linear",) where that is so.

    Else names: other trainers, and peft by itself, adapt a router that is an nn.Linear, and the choice of experts
    drifts.
    """
    left = set(_moved(spec)) if spec.experts_fused else set()
    left |= {"out_proj", "conv1d"} if spec.traits.no_out_proj else set()
    left |= _linear_routers(spec)
    return tuple(name for name in linear_names(spec) if name not in left) if left else (ALL_LINEAR,)


def _linear_routers(spec: ModelSpec) -> set[str]:
    return {ln.name for group in spec.layers for ln in group.linears if ln.role == "router" and not ln.fused}


def lora_params(
    spec: ModelSpec,
    rank: int,
    targets: Collection[str] = (ALL_LINEAR,),
    expert_targets: Collection[str] = (),
    *,
    expert_rank: int | None = None,
    dora: bool = False,
    modules_to_save: Collection[str] = (),
    trainable_tokens: int = 0,
) -> int:
    """Trainable parameters of LoRA, as peft makes them.

    `expert_rank`: the rank on `expert_targets`; None: `rank`, as elsewhere. DoRA adds one magnitude for each output
    of an adapted linear (not of 3-D experts, where peft refuses it).
    `modules_to_save` adds a full copy of the embedding or the head; `trainable_tokens` adds a row each.
    """
    total = 0
    for count, linear in targeted(spec, targets, expert_targets):
        own_rank = (expert_rank or rank) if linear.fused else rank
        each = own_rank * (linear.in_features + linear.out_features)
        if dora and not linear.fused:
            each += linear.out_features
        total += count * linear.copies * each
    return total + saved_module_params(spec, modules_to_save) + trainable_tokens * spec.hidden_size


def saved_module_params(spec: ModelSpec, names: Collection[str]) -> int:
    """Parameters of the embedding and the head when they train whole; a tied head is then a copy of its own."""
    leaves = {_leaf(name) for name in names}
    embedding = spec.embedding_params if leaves & set(EMBEDDING_NAMES) else 0
    head = (spec.head_params or spec.vocab_size * spec.hidden_size) if leaves & set(HEAD_NAMES) else 0
    return embedding + head


def adapter_params_per_rank(spec: ModelSpec) -> int:
    """LoRA parameters for each unit of rank when every linear of the blocks is adapted (experts in 3-D are not)."""
    return lora_params(spec, 1)


def bottleneck_params(spec: ModelSpec, width: int) -> int:
    """Two bottleneck adapters in each block: down and up projection with their biases."""
    hidden = spec.hidden_size
    return spec.num_hidden_layers * 2 * (2 * hidden * width + width + hidden)


def prefix_params(spec: ModelSpec, num_virtual_tokens: int) -> int:
    """Keys and values of the virtual tokens in every block, as peft sizes them."""
    return num_virtual_tokens * spec.num_hidden_layers * 2 * spec.head_dim * spec.num_key_value_heads


def trainable_params(spec: ModelSpec, plan: TrainingPlan) -> int:
    """Parameters that receive gradients under this plan."""
    return TRAINED[plan.method](spec, plan)


def _lora_of(spec: ModelSpec, plan: TrainingPlan) -> int:
    return lora_params(
        spec,
        plan.lora_rank or 0,
        plan.lora_targets or (ALL_LINEAR,),
        plan.lora_expert_targets,
        expert_rank=plan.lora_expert_rank,
        dora=plan.use_dora,
        modules_to_save=plan.modules_to_save,
        trainable_tokens=len(plan.trainable_token_indices),
    )


TRAINED: dict[Method, Callable[[ModelSpec, TrainingPlan], int]] = {
    "full": lambda spec, _: spec.language_params,
    "lora": _lora_of,
    "qlora": _lora_of,
    "prefix": lambda spec, plan: prefix_params(spec, plan.num_virtual_tokens or 0),
    "adapter": lambda spec, plan: bottleneck_params(spec, plan.adapter_bottleneck or 0),
}
"""Method -> how many parameters a plan of it trains."""


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
