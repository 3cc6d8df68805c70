"""What adapters cost that are not LoRA: other tuners of peft, by form.

For each adapted linear: the bytes that its forward keeps for backward, for each token and each input, output and
unit of rank, and those for each weight of the linear, where a matrix of that size is built anew in every forward.
Read off peft 0.21's own layers over a bf16 base with fp32 adapters (its default); a test runs most of them and
compares to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from advisor.model.params import targeted
from advisor.model.spec import Linear, ModelSpec
from trainers.plan import TrainingPlan


class Form(NamedTuple):
    """One way to adapt a linear."""

    inputs: int
    """Bytes for each token and input."""
    outputs: int
    """Bytes for each token and output."""
    rank: int
    """Bytes for each token and unit of rank."""
    matrix: int
    """Bytes for each weight of the linear, whatever the number of tokens."""
    trained: Callable[[int, int, int], int]
    """Values that train, from inputs, outputs and rank."""
    square: int = 0
    """Bytes for each pair of inputs, whatever the number of tokens: rotations."""

    def built(self, inputs: int, outputs: int) -> int:
        """Bytes of the matrices that a forward builds."""
        return inputs * (self.matrix * outputs + self.square * inputs)


def _pair(inputs: int, outputs: int, rank: int) -> int:
    return rank * (inputs + outputs)


FORMS: dict[str, Form] = {
    "adalora": Form(4, 4, 4, 0, lambda i, o, r: _pair(i, o, r) + r),
    "lora_fa": Form(0, 0, 4, 0, lambda i, o, r: r * o),
    "vera": Form(0, 4, 4, 0, lambda i, o, r: r + o),
    "pvera": Form(0, 4, 16, 0, lambda i, o, r: 2 * r + o),
    "vblora": Form(4, 0, 4, 0, _pair),
    "ia3": Form(0, 2, 0, 0, lambda i, o, r: o),
    "ia3_feedforward": Form(4, 0, 0, 0, lambda i, o, r: i),
    "loha": Form(4, 0, 0, 4, lambda i, o, r: 2 * _pair(i, o, r)),
    "lokr": Form(4, 0, 0, 4, lambda i, o, r: r * r),
    "fourierft": Form(4, 0, 0, 4, lambda i, o, r: 0),
    "hira": Form(4, 0, 0, 4, _pair),
    "glora": Form(2, 0, 0, 2, lambda i, o, r: 2 * _pair(i, o, r)),
    "miss": Form(0, 0, 4, 0, lambda i, o, r: r * o),
    "miss_bat": Form(4, 0, 0, 8, lambda i, o, r: r * o),
    "road": Form(0, 8, 0, 0, lambda i, o, r: o),
    "delora": Form(4, 0, 8, 0, lambda i, o, r: _pair(i, o, r) + 1),
    "gralora": Form(4, 0, 8, 0, _pair),
    "lily": Form(4, 0, 4, 0, _pair),
    "deft": Form(4, 4, 8, 0, _pair),
    "psoft": Form(0, 0, 4, 0, lambda i, o, r: r * r // 2),
    "beft": Form(0, 0, 0, 0, lambda i, o, r: o),
    "oft": Form(4, 0, 0, 0, lambda i, o, r: i * max(0, r - 1) // 2),
    "boft": Form(2, 2, 0, 0, lambda i, o, r: 4 * i + o, square=6),
    "c3a": Form(4, 0, 0, 0, lambda i, o, r: 0),
    "adamss": Form(0, 0, 2, 0, lambda i, o, r: 0),
    "shira": Form(2, 0, 0, 2, _pair),
}
"""Form -> its costs. Trained values that do not follow from rank and widths are not counted (kilobytes)."""
NORMS = "ln_tuning"
"""Trains the weights of the norms and no linear."""
TOKENS = "tokens"
"""Trains rows of the embedding: single tokens, or a prompt of virtual ones in front of the text."""
ENCODED_PROMPT = "p_tuning"
"""A prompt of virtual tokens that an encoder of three linears makes (peft's PromptEncoder, as wide as the model)."""


PROJECTED_PREFIX = "projected_prefix"
"""Prefixes that two linears make of one embedding for all blocks (P-Tuning v2 with projection, as ChatGLM trains)."""
_OF_TOKENS = (TOKENS, ENCODED_PROMPT)


def costs_of(form: str, linear: Linear) -> Form | None:
    """The costs of one adapted linear; None for LoRA and for forms that adapt no linear. (IA)3 scales the inputs of
    a feed-forward part and the outputs of attention."""
    scales_inputs = form == "ia3" and linear.role in ("mlp", "expert", "shared_expert")
    return FORMS.get("ia3_feedforward" if scales_inputs else form)


def trains_norms(form: str) -> bool:
    """Whether norms train beside the frozen linears."""
    return form == NORMS


def virtual_tokens(form: str, plan: TrainingPlan) -> int:
    """Tokens in front of each row."""
    return (plan.num_virtual_tokens or 0) if form in _OF_TOKENS else 0


def form_values(model: ModelSpec, plan: TrainingPlan, form: str) -> int:
    """Values that train under this form."""
    if form == NORMS:
        return sum(group.count * group.norm_params for group in model.layers) + model.final_norm_params
    hidden, tokens = model.hidden_size, plan.num_virtual_tokens or 0
    if form == PROJECTED_PREFIX:
        keys_and_values = 2 * model.num_hidden_layers * model.num_key_value_heads * model.head_dim
        return tokens * hidden + (hidden + 1) * (hidden + keys_and_values)
    if form in _OF_TOKENS:
        encoder = 3 * (hidden + 1) * hidden if form == ENCODED_PROMPT else 0
        return (tokens + len(plan.trainable_token_indices)) * hidden + encoder
    total = 0
    for count, linear in targeted(model, plan.lora_targets or ()):
        costs = costs_of(form, linear)
        if costs is not None:
            each = costs.trained(linear.in_features, linear.out_features, plan.lora_rank or 0)
            total += count * linear.copies * each
    return total


def built_matrices(model: ModelSpec, plan: TrainingPlan, form: str) -> int:
    """Bytes of matrices that adapters of this form build in forward and keep for backward, over all blocks."""
    total = 0
    for count, linear in targeted(model, plan.lora_targets or ()) if form in FORMS else ():
        costs = costs_of(form, linear)
        if costs is not None:
            total += count * linear.copies * costs.built(linear.in_features, linear.out_features)
    return total
