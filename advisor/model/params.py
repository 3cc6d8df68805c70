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
# peft 0.21 (utils/transformers_weight_conversion.py) with transformers 5.23 (conversion_mapping.py): families whose
# experts became 3-D parameters, and what it makes of the names that they had before.
REMAPPED: dict[str, str] = {
    **dict.fromkeys(("mixtral", "minimax", "minimax_m2"), "mixtral"),
    **dict.fromkeys(
        ("afmoe", "beam", "cohere2_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1"), "qwen2_moe"
    ),
    **dict.fromkeys(("ernie4_5_moe", "exaone_moe", "flex_olmo", "glm4_moe", "glm4_moe_lite"), "qwen2_moe"),
    **dict.fromkeys(("glm_moe_dsa", "hunyuan_v1_moe", "longcat_flash", "mellum", "olmoe"), "qwen2_moe"),
    **dict.fromkeys(("qwen3_moe", "qwen3_next", "solar_open"), "qwen2_moe"),
}
REMAPPED_NAMES: dict[str, dict[str, str]] = {
    "mixtral": {"gate": "gate", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}
NO_OUT_PROJ = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})
"""Families where peft refuses LoRA on out_proj and conv1d (tuners_utils.py), "all-linear" included."""

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
    """Every linear that LoRA adapts, with the number of blocks that have it (1 outside the blocks).

    `targets` holds names as peft matches them (only the last part of a dotted name counts here), or "all-linear":
    every nn.Linear but the head. Bare parameters (3-D experts, most routers) are adapted when named in
    `expert_targets`. In the families of REMAPPED peft moves the experts' old names, which "all-linear" includes, to
    the 3-D parameters, and leaves dense and shared parts of the same names alone; a matrix that holds gate and up
    together then gets twice the rank, and comes twice here.
    """
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
    moved = REMAPPED_NAMES.get(REMAPPED.get(spec.model_type, ""), {})
    if not moved:
        return names, set(), set()
    if ALL_LINEAR in names:
        names |= set(moved)
    parameters = {new for old, new in moved.items() if old in names}
    halves = [old for old, new in moved.items() if new == "gate_up_proj"]
    doubled = {"gate_up_proj"} if all(half in names for half in halves) else set()
    return names - set(moved), parameters, doubled


def default_lora_targets(spec: ModelSpec) -> tuple[str, ...]:
    """Targets that peft accepts and that leave 3-D experts alone: ("all-linear",) where that is so, else names."""
    if spec.model_type in NO_OUT_PROJ:
        return tuple(name for name in linear_names(spec) if name not in ("out_proj", "conv1d"))
    moved = REMAPPED_NAMES.get(REMAPPED.get(spec.model_type, ""), {})
    if moved and spec.experts_fused:
        return tuple(name for name in linear_names(spec) if name not in moved)
    return (ALL_LINEAR,)


def target_problems(spec: ModelSpec, targets: Collection[str]) -> list[str]:
    """Why peft would refuse these targets for this model, each as a sentence; [] when it takes them."""
    names = {_leaf(name) for name in targets}
    known = set(linear_names(spec)) | set(REMAPPED_NAMES.get(REMAPPED.get(spec.model_type, ""), {}))
    problems = []
    if spec.model_type in NO_OUT_PROJ and names & {ALL_LINEAR, "out_proj", "conv1d"}:
        problems.append(f"peft takes no out_proj or conv1d in a {spec.model_type} model; name the others")
    if spec.known:
        missing = sorted(names - known - {ALL_LINEAR})
        problems += [
            f"the model has no linear called {name}; it has {', '.join(linear_names(spec))}" for name in missing
        ]
    moved = REMAPPED_NAMES.get(REMAPPED.get(spec.model_type, ""), {})
    halves = {old for old, new in moved.items() if new == "gate_up_proj"}
    if halves & names and not halves <= names:
        problems.append(f"{' and '.join(sorted(halves))} are one matrix in this model; name both or neither")
    return problems


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
