"""Trained parameters of each method, exactly, from the linears of a ModelSpec.

Sources: LoRA's two matrices of rank r for a linear (Hu et al. 2021) as peft lays them out, 3-D experts as peft's
ParamWrapper does (rank r for each expert); the bottleneck adapter of Houlsby et al. 2019 behind attention and
feed-forward part; prefix tuning as peft's PrefixEncoder without projection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from advisor.model.spec import Linear, ModelSpec
from trainers.plan import TrainingPlan

ALL_LINEAR = "all-linear"
EMBEDDING_NAMES = ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "embedding", "embeddings")
HEAD_NAMES = ("lm_head", "embed_out", "output", "output_layer", "head")


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
) -> Iterator[tuple[int, Linear]]:
    """Every linear of one block that LoRA adapts, with the number of such blocks (1 for one outside the blocks).

    `targets` holds names as peft matches them (only the last part of a dotted name counts here), or "all-linear":
    every nn.Linear but the head. Bare parameters (3-D experts, most routers) are adapted only when named in
    `expert_targets`.
    """
    wanted, wanted_experts = {_leaf(name) for name in targets}, {_leaf(name) for name in expert_targets}
    everything = ALL_LINEAR in wanted
    places = [(group.count, linear) for group in spec.layers for linear in group.linears]
    places += [(1, linear) for linear in spec.outer_linears]
    for count, linear in places:
        if linear.name in wanted_experts if linear.fused else everything or linear.name in wanted:
            yield count, linear


def lora_params(
    spec: ModelSpec,
    rank: int,
    targets: Collection[str] = (ALL_LINEAR,),
    expert_targets: Collection[str] = (),
    *,
    dora: bool = False,
    modules_to_save: Collection[str] = (),
    trainable_tokens: int = 0,
) -> int:
    """Trainable parameters of LoRA, as peft makes them.

    DoRA adds one magnitude for each output of an adapted linear (not of 3-D experts, where peft refuses it).
    `modules_to_save` adds a full copy of the embedding or the head; `trainable_tokens` adds a row each.
    """
    total = 0
    for count, linear in targeted(spec, targets, expert_targets):
        each = rank * (linear.in_features + linear.out_features)
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
    if plan.method == "full":
        return spec.num_params
    if plan.method == "prefix":
        return prefix_params(spec, plan.num_virtual_tokens or 0)
    if plan.method == "adapter":
        return bottleneck_params(spec, plan.adapter_bottleneck or 0)
    return lora_params(
        spec,
        plan.lora_rank or 0,
        plan.lora_targets or (ALL_LINEAR,),
        plan.lora_expert_targets,
        dora=plan.use_dora,
        modules_to_save=plan.modules_to_save,
        trainable_tokens=len(plan.trainable_token_indices),
    )


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
