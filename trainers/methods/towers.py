"""Checkpoints that see or hear as well, trained on text: which class loads them, and which of its modules text never
reaches.

A text-only batch runs through the language model and the head, and through nothing else. What lies beside them
(vision and audio towers, projectors, resamplers) is found in the module tree, never by name, and is left out of
memory while an adapter trains: `LeftOut` stands in its place, so that nothing can be adapted, quantised or given a
gradient there, and a batch that does reach it ends with a sentence instead of a wrong number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from trainers.errors import RunError
from trainers.language import tr
from trainers.text_alone import TEXT_ALONE

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def auto_class(config: PreTrainedConfig) -> Any:
    """The auto class that loads the whole checkpoint, with the names of its `architectures` and of serving engines.

    Some families (Qwen3.5, Llama 4) have a class for the text part too, whose modules are named otherwise: an adapter
    trained on that fits neither the original class nor an engine.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    has_eyes = config.model_type in TEXT_ALONE and config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    return AutoModelForImageTextToText if has_eyes else AutoModelForCausalLM


def skeleton(config: PreTrainedConfig) -> PreTrainedModel:
    """The module tree of this config, without weights."""
    with torch.device("meta"):
        model: PreTrainedModel = auto_class(config).from_config(config)
    return model


def towers(model: PreTrainedModel) -> list[str]:
    """Names of the topmost modules that a text-only batch does not reach; [] for a family that is not in TEXT_ALONE.

    Everything that is neither the decoder, the head, nor on the way to them; inside the decoder, every model of its
    own.
    """
    from transformers import PreTrainedModel

    if model.config.model_type not in TEXT_ALONE:
        return []
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    reached = [module for module in (decoder, head) if module is not None and module is not model]
    found = list(_beside(model, "", reached)) if reached else []
    words = model.get_input_embeddings()
    inner = {id(part) for part in decoder.modules() if isinstance(part, PreTrainedModel) and part is not decoder}
    nested = [
        name
        for name, module in model.named_modules()
        if id(module) in inner and not any(part is words for part in module.modules())
    ]
    return [*found, *_topmost(nested)]


def leave_out(model: PreTrainedModel) -> None:
    """Put `LeftOut` in the place of every tower, which frees what it held."""
    for name in towers(model):
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, LeftOut(name))


def freeze(model: PreTrainedModel) -> None:
    """Keep every tower as it is: no gradient reaches it, and nothing of its forward pass is kept for one.

    Without the latter a checkpointed run would go through the tower three times more: gradient checkpointing asks
    every embedding inside the model for a gradient, that of a frozen tower too.
    """
    for name in towers(model):
        tower = model.get_submodule(name).requires_grad_(False)
        tower.forward = torch.no_grad()(tower.forward)


class LeftOut(torch.nn.Module):
    """Stands where a tower was. Holds nothing; calling it raises RunError."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, *_: Any, **__: Any) -> Any:
        """Raises RunError: only a batch that is not text comes here."""
        raise RunError(
            tr("{name} was called, and is not loaded", name=self.name),
            why=tr("this run trains on text, which does not pass through it"),
            fix=tr("please report this with the model's name"),
        )


def show_text_model(model: PreTrainedModel) -> None:
    """Let `model.base_model` be the language model where the class (Llama 4) keeps it elsewhere.

    TRL's loss takes the hidden states of `base_model`; without this they would be those of the whole, which has none.
    """
    from transformers import PreTrainedModel

    if model.base_model is not model or not model.base_model_prefix:
        return
    words, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None:
        return
    for module in model.modules():
        inside = list(module.modules()) if isinstance(module, PreTrainedModel) else []
        if any(part is words for part in inside) and not any(part is head for part in inside):
            vars(model)[model.base_model_prefix] = module  # beside the registry: its weights keep one name
            return


def language_linears(model: PreTrainedModel) -> list[str]:
    """Full names of the linear layers that text passes through: no head, no router, nothing in or beside a tower."""
    unreached = towers(model)
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    (prefix,) = (name for name, module in model.named_modules() if module is decoder)
    beside = {_child(prefix, name) for name in unreached if name.startswith(f"{prefix}.")}
    return [
        name
        for name, module in decoder.named_modules(prefix=prefix)
        if isinstance(module, torch.nn.Linear)
        and module is not head
        and not is_router(name)
        and not any(name == other or name.startswith(f"{other}.") for other in (*unreached, *beside))
    ]


def adapter_targets(model: PreTrainedModel, wanted: list[str]) -> str:
    """`wanted` (suffixes, or "all-linear") as one expression that peft matches against whole names.

    It holds for the original class as well, where a bare suffix would hit the towers that were left out here.
    Empty when no layer of the language model has such a name.
    """
    whole = language_linears(model)
    if wanted != ["all-linear"]:
        whole = [name for name in whole if any(name == one or name.endswith(f".{one}") for one in wanted)]
    ends = dict.fromkeys(re.escape(_without_numbers(name)[1]) for name in whole)
    starts = dict.fromkeys(re.escape(_without_numbers(name)[0]) for name in whole)
    return rf"({'|'.join(starts)})\.\d+\.({'|'.join(ends)})" if whole else ""


def is_router(name: str) -> bool:
    """Whether a module of this name decides which experts a token takes; training it is unstable."""
    *path, leaf = name.split(".")
    return "router" in path or leaf in ("router", "gate", "wg", "shared_expert_gate")


def _without_numbers(name: str) -> tuple[str, str]:
    start, _, end = re.split(r"\.(\d+)\.", name, maxsplit=1)
    return start, end


def _beside(module: torch.nn.Module, prefix: str, reached: list[torch.nn.Module]) -> Iterator[str]:
    for name, child in module.named_children():
        full = f"{prefix}.{name}" if prefix else name
        if any(child is one for one in reached) or not any(True for _ in child.parameters()):
            continue
        if any(one is part for part in child.modules() for one in reached):
            yield from _beside(child, full, reached)
        else:
            yield full


def _topmost(names: list[str]) -> list[str]:
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _child(prefix: str, name: str) -> str:
    return f"{prefix}.{name.removeprefix(prefix + '.').partition('.')[0]}"
