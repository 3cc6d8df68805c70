"""The parts of a family that are no language model, as transformers builds them on the meta device."""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.model.polynomials import Field

TEXT_SECTIONS = ("text_config", "llm_config", "language_config")
"""Where the language model stands, which `advisor/model/families/` counts."""
FROM_TEXT = ("hidden_size",)
"""What a projector takes from it."""
NOT_A_SIZE = re.compile(
    r"token|_id$|_index$|eps|theta|dropout|std|init|rope|max_pos|layer_norm|seed|loss|cap$|beam|length$|top_|"
    r"temperature|penalty|num_return|fps|window_size|seconds|sample|vocab|scaling|merge_kernel"
)
DEPTH = re.compile(r"^(?!text_config).*(num_hidden_layers|depth|num_layers|encoder_layers|num_global_layers)$")
FEW = 3
"""Blocks of a part while it is derived: each more makes every build slower."""
FLAG_WITHOUT_FIELD = {"vision_use_head": True}
"""Read by getattr in the SigLIP line: a config may state it, and its class does not know it."""


class Tensor(NamedTuple):
    """A parameter outside the language model, the number of its block taken out of its name."""

    part: str
    name: str
    linear: bool


class Probe:
    """A family (with one kind of vision part) whose config is changed a value at a time."""

    def __init__(self, model_type: str, vision: str | None = None) -> None:
        self.model_type = model_type
        self.asked = vision
        self.config = whole_config(model_type, vision)
        self.vision = getattr(getattr(self.config, "vision_config", None), "model_type", None)
        self._shrink()

    def _shrink(self) -> None:
        text = self.config.get_text_config()
        try:
            changed = copy.deepcopy(self.config)
            changed.get_text_config().num_hidden_layers = 2
            if getattr(text, "layer_types", None):
                changed.get_text_config().layer_types = list(text.layer_types)[:2]
            wanted = set(shapes(changed))
            self.config = changed
        except Exception:  # noqa: BLE001 - any refusal of transformers means: leave it as it was
            wanted = set(shapes(self.config))
        for field, value in list(self.fields()):
            if DEPTH.search(field) and isinstance(value, int) and value > FEW:
                try:
                    changed = self.changed(field, FEW)
                    if set(shapes(changed)) == wanted:
                        self.config = changed
                except Exception:  # noqa: BLE001
                    continue
        for _, section in self.sections():
            size, patch = getattr(section, "image_size", None), getattr(section, "patch_size", None)
            if isinstance(size, int) and isinstance(patch, int) and size % (4 * patch):
                section.image_size = 32 * patch

    def sections(self) -> list[tuple[str, Any]]:
        """(prefix of its fields, config) of the whole model and of everything in it but the language model."""
        return [("", self.config), *_inner("", self.config)]

    def fields(self) -> Iterator[tuple[Field, Any]]:
        """Every value that may be a size, a switch or a list, by its dotted name."""
        for prefix, section in self.sections():
            for key, value in vars(section).items():
                if not key.startswith("_") and not NOT_A_SIZE.search(key):
                    yield prefix + key, value
            if "siglip" in getattr(section, "model_type", ""):
                yield from ((prefix + key, value) for key, value in FLAG_WITHOUT_FIELD.items())
        text = self.config.get_text_config()
        if text is not self.config:
            for key in FROM_TEXT:
                yield f"text_config.{key}", getattr(text, key)

    def changed(self, field: Field, value: Any) -> Any:
        """A copy of the config with one value changed."""
        config = copy.deepcopy(self.config)
        *path, key = field.split(".")
        section = config
        for step in path:
            section = section.get_text_config() if step == "text_config" else getattr(section, step)
        setattr(section, key, value)
        return config


def optional_sections(model_type: str) -> list[str]:
    """The parts that a model of this family may lack."""
    from transformers import CONFIG_MAPPING

    bare = CONFIG_MAPPING[model_type]
    named = [key for key, section in bare.sub_configs.items() if getattr(section, "model_type", "")]
    try:
        return [key for key in named if key not in TEXT_SECTIONS and getattr(bare(), key) is None]
    except Exception:  # noqa: BLE001 - a family that refuses its own defaults
        return []


def whole_config(model_type: str, vision: str | None) -> Any:
    """The family's default config with every part that it may have, and this kind of vision part."""
    from transformers import CONFIG_MAPPING, AutoConfig

    bare = CONFIG_MAPPING[model_type]
    parts = {key: bare.sub_configs[key]().to_dict() for key in optional_sections(model_type)}
    if vision:
        parts["vision_config"] = AutoConfig.for_model(vision).to_dict()
    return bare(**parts)


def _inner(prefix: str, config: Any) -> Iterator[tuple[str, Any]]:
    from transformers import PreTrainedConfig

    for key, value in vars(config).items():
        if isinstance(value, PreTrainedConfig) and key not in TEXT_SECTIONS:
            yield f"{prefix}{key}.", value
            yield from _inner(f"{prefix}{key}.", value)


def whole_model(config: Any) -> Any:
    """The model with all its parts, on the meta device."""
    import torch
    from transformers import AutoModelForMultimodalLM

    with torch.device("meta"):
        return AutoModelForMultimodalLM.from_config(copy.deepcopy(config))


def outside_language(model: Any) -> Iterator[tuple[str, Any, Any]]:
    """(name, module, its parameter's name) of every parameter that is no part of the language model."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    own = {id(parameter) for parameter in decoder.parameters()}
    if any(getattr(module, "config", None) is part for module in decoder.modules() for part in _towers_of(model)):
        kept = [child for name, child in decoder.named_children() if name in ("embed_tokens", "layers", "norm")]
        own = {id(parameter) for child in kept for parameter in child.parameters()}
    if head is not None:
        own |= {id(parameter) for parameter in head.parameters()}
    embedding = model.get_input_embeddings()
    own |= {id(parameter) for parameter in embedding.parameters()} if embedding is not None else set()
    seen: set[int] = set()
    for name, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in own | seen:
                seen.add(id(parameter))
                yield name, module, key


def _towers_of(model: Any) -> list[Any]:
    return [section for _, section in _inner("", model.config)]


def shapes(config: Any) -> dict[Tensor, list[tuple[int, ...]]]:
    """Tensor -> the shape of each of its copies."""
    import torch

    found: dict[Tensor, list[tuple[int, ...]]] = defaultdict(list)
    model = whole_model(config)
    lists = {name for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)}
    for name, module, key in outside_language(model):
        steps = name.split(".")
        at = 1 if steps[0] == "model" and len(steps) > 1 else 0
        part = ".".join(steps[: at + 1])
        plain = ".".join(
            "N" if step.isdigit() and ".".join(steps[:index]) in lists else step for index, step in enumerate(steps)
        )
        linear = isinstance(module, torch.nn.Linear) and key == "weight"
        found[Tensor(part, f"{plain}.{key}", linear)].append(tuple(getattr(module, key).shape))
    return dict(found)


def tied(probe: Probe) -> list[bool]:
    """Whether head and embedding are one, for tie_word_embeddings of the whole model unset, true, false, and for each
    of these for that of its text part true, false."""
    table = []
    for outer in (None, True, False):
        for inner in (True, False):
            config = copy.deepcopy(probe.config)
            config.get_text_config().tie_word_embeddings = inner
            if outer is not None:
                config.tie_word_embeddings = outer
            model = whole_model(config)
            head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
            table.append(head is not None and head.weight is embedding.weight)
    return table


def takes_any_tower(model_type: str) -> bool:
    """Whether the family's config names a kind of vision part rather than having one of its own."""
    from transformers import CONFIG_MAPPING

    section = CONFIG_MAPPING[model_type].sub_configs.get("vision_config")
    return section is not None and not getattr(section, "model_type", "")
