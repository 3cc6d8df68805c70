"""What trains, in values, and what an optimizer holds for it: whole models, parts of them, adapters of any form."""

from __future__ import annotations

import msgspec

from advisor.estimate.forms import form_values
from advisor.estimate.optimizer import States, eight_bit_excess
from advisor.model.params import EMBEDDING_NAMES, HEAD_NAMES, targeted, trainable_params
from advisor.model.spec import ModelSpec
from trainers.method import METHODS
from trainers.plan import TrainingPlan


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A full fine-tuning in which few blocks train at a time.

    LISA (Pan et al. 2024): some blocks at random, embedding and head always. BAdam (Luo et al. 2024): one block after
    the other, with an fp32 master of it. Freeze tuning: the last blocks. LLaMA Pro (Wu et al. 2024): blocks that were
    added.
    """

    blocks: int
    """Blocks that train at a time."""
    outer: bool = False
    """Embedding, head and final norm train too."""
    last: bool = False
    """They are the blocks below the head: nothing before them is gone back through, so nothing of it is kept."""
    fp32_master: bool = False
    """What trains has an fp32 master, fp32 gradients and fp32 states beside the 16-bit weights."""


class LowRank(msgspec.Struct, frozen=True, kw_only=True):
    """Optimizer states of projected gradients.

    GaLore (Zhao et al. 2024, table 1): two states of rank x longer side for each matrix of the blocks, and the
    projector of rank x shorter side. APOLLO (Zhu et al. 2024): the states alone, the projector is drawn from a seed.
    """

    rank: int
    projector: bool = True
    outer: bool = False
    """Embedding and head are projected too."""
    state_bytes: float | None = None
    """Bytes of one value of a state or projector; None: those of the trained dtype."""


def part_values(model: ModelSpec, part: Part) -> int:
    """Values that train at a time."""
    block = max(group.num_params for group in model.layers)
    outer = model.embedding_params + model.head_params + model.final_norm_params if part.outer else 0
    return part.blocks * block + outer


def trained_values(model: ModelSpec, plan: TrainingPlan, form: str, part: Part | None) -> int:
    """Values that receive gradients at a time."""
    if not plan.trains_adapter:
        return trainable_params(model, plan) if part is None else part_values(model, part)
    return trainable_params(model, plan) if form == "lora" else form_values(model, plan, form)


def low_rank_states(model: ModelSpec, low: LowRank, trained_dtype: int) -> States:
    """States of a whole model: of projected matrices by rank, of all else whole."""
    width = low.state_bytes if low.state_bytes is not None else float(trained_dtype)
    values = 0
    largest = 0
    for group in model.layers:
        values += 2 * group.count * (group.norm_params + group.other_params)
        for linear in group.linears:
            values += group.count * linear.copies * _projected(linear.in_features, linear.out_features, low)
            largest = max(largest, linear.in_features * linear.out_features)
    for table in (model.embedding_params, model.head_params):
        side = table // model.hidden_size
        values += _projected(model.hidden_size, side, low) if low.outer and side else 2 * table
    values += 2 * (model.final_norm_params + model.other_params)
    return States(int(values * width), 0, 2 * largest * trained_dtype)


def _projected(inputs: int, outputs: int, low: LowRank) -> int:
    short, long = sorted((inputs, outputs))
    rank = min(low.rank, short)
    return 2 * rank * long + (rank * short if low.projector else 0)


def adapted(model: ModelSpec, plan: TrainingPlan) -> list[tuple[int, int, int, int]]:
    """(count, rank, inputs, outputs) of each linear with an adapter."""
    if not METHODS[plan.method].is_lora:
        return []
    pairs = targeted(model, plan.lora_targets or ("all-linear",), plan.lora_expert_targets)
    rank = plan.lora_rank or 0
    expert_rank = plan.lora_expert_rank or rank
    return [
        (
            count * linear.copies,
            expert_rank if linear.fused else rank,
            linear.in_features,
            linear.out_features,
        )
        for count, linear in pairs
    ]


def saved_names(plan: TrainingPlan) -> set[str]:
    """Last parts of the names of modules that train whole beside an adapter."""
    return {name.rpartition(".")[2] for name in plan.modules_to_save}


def largest_trained(model: ModelSpec, plan: TrainingPlan) -> int:
    """Values of the largest trained tensor."""
    if not plan.trains_adapter:
        return max(model.embedding_params, model.head_params)
    if saved_names(plan) & (set(EMBEDDING_NAMES) | set(HEAD_NAMES)):
        return model.vocab_size * model.hidden_size
    return max((rank * max(inputs, outputs) for _, rank, inputs, outputs in adapted(model, plan)), default=0)


def tensor_count(model: ModelSpec, plan: TrainingPlan) -> int:
    """How many tensors train."""
    if not plan.trains_adapter:
        return sum(group.count * (len(group.linears) + 2) for group in model.layers) + 3
    return 2 * sum(count for count, _, _, _ in adapted(model, plan)) or 1


def rows_and_columns(model: ModelSpec, plan: TrainingPlan) -> int:
    """Values of a row and a column vector of every trained matrix."""
    if not plan.trains_adapter:
        inside = 0
        for group in model.layers:
            edges = sum(linear.copies * (linear.in_features + linear.out_features) for linear in group.linears)
            inside += group.count * (edges + group.norm_params)
        return inside + 2 * (model.vocab_size + model.hidden_size)
    return sum(count * (inputs + outputs + 2 * rank) for count, rank, inputs, outputs in adapted(model, plan))


def small_excess(model: ModelSpec, plan: TrainingPlan) -> int:
    """Bytes that small tensors cost more in one 8-bit state: norms in a full run, small adapters."""
    if not plan.trains_adapter:
        norms = sum(group.count * max(1, group.norm_params // model.hidden_size) for group in model.layers) + 1
        return norms * eight_bit_excess(model.hidden_size)
    return sum(
        count * (eight_bit_excess(rank * inputs) + eight_bit_excess(rank * outputs))
        for count, rank, inputs, outputs in adapted(model, plan)
    )
