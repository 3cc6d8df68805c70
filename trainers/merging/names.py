"""Under which name each tensor of a checkpoint lives in the loaded model: transformers renames many while loading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def loaded_names(model: PreTrainedModel, stored: Iterable[str]) -> dict[str, str]:
    """Stored name -> name in `model`, for tensors that are loaded as they are.

    What is split, joined or turned on the way (experts, most of all) is left out: no single weight stands for it.
    """
    return {name: known for name, known, alone in _renamed(model, stored) if alone}


def stored_experts(model: PreTrainedModel, stored: Iterable[str]) -> frozenset[str]:
    """Names of the stored tensors that become part of a 3-D parameter of experts."""
    from trainers.methods.packed_experts import expert_parameters

    experts = set(expert_parameters(model))
    return frozenset(name for name, known, _ in _renamed(model, stored) if known in experts)


def _renamed(model: PreTrainedModel, stored: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """(stored name, name in the model, whether it is loaded as it is)."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    rules = get_model_conversion_mapping(model)
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    renamings = [rule for rule in rules if not isinstance(rule, WeightConverter)]
    held = model.state_dict()
    for name in stored:
        known, converted = rename_source_key(name, renamings, converters, model.base_model_prefix, held)
        if known not in held and name in held:
            known, converted = name, None
        if known in held:
            yield name, known, converted is None
