"""What a checkpoint is made for, and whether the trainer's class would load it.

The trainer loads causal language models, and on text the language model of checkpoints that read images as well
(trainers/text_alone.py). Another family, or a checkpoint that brings program code of its own, is refused with the
tool that fits, instead of being recommended and refused at the launch.
`model_uses.json` is read off transformers by `python -m tests.model.model_uses`; `named_uses.toml` is kept by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.errors import Problem
from advisor.base.language import later, tr
from advisor.model.spec import ModelSpec, Use
from trainers.text_alone import TEXT_ALONE

_ENCODER_HEADS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForPreTraining",
)
"""Endings of `architectures` of encoders. Some of these families can also be built with a causal head (BERT)."""

_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")

_INSTEAD: dict[Use, tuple[str, str]] = {
    "image_text": (
        later("it reads images, and its class was not seen to run on text alone"),
        later("Train a text model of the same family, or use TRL's example for vision-language models (sft_vlm.py)."),
    ),
    "multimodal": (
        later("it reads images or sound, and its class (AutoModelForMultimodalLM) is not trained here yet"),
        later("Train a text model of the same family, or use TRL's example for vision-language models (sft_vlm.py)."),
    ),
    "seq2seq": (
        later("it is an encoder-decoder, and a causal language model's loss is the wrong one for it"),
        later(
            "Use transformers' Seq2SeqTrainer with DataCollatorForSeq2Seq (peft: task_type "
            "SEQ_2_SEQ_LM), or choose a decoder such as Qwen3-1.7B."
        ),
    ),
    "speech": (
        later("it turns speech into text"),
        later("Use transformers' Seq2SeqTrainer with the recipe for speech models."),
    ),
    "encoder": (
        later("it is an encoder: it labels or embeds text and generates none"),
        later(
            "Use transformers' Trainer with AutoModelForSequenceClassification or "
            "AutoModelForTokenClassification; for embeddings, sentence-transformers."
        ),
    ),
    "other": (later("it is not a language model"), later("Give a causal language model, such as Qwen3-8B.")),
    "own_code": (
        later("it comes with its own program code (auto_map), and foreign code is never run here"),
        later("Choose a model whose family transformers knows; most have a successor that it knows."),
    ),
    "unknown": (
        later("transformers {version} has no model_type '{model_type}'"),
        later(
            "Choose a model of a family that it knows, or wait for a release that does; "
            "`sft-advisor estimate` needs a plan and trains nothing."
        ),
    ),
    "unknown_mixture": (
        later(
            "its family '{model_type}' is a mixture of experts whose shape is not known here, "
            "and a guess could be ten times too small"
        ),
        later("Choose a mixture of a known family (Qwen3-30B-A3B, gpt-oss-20b), or a newer release of sft-advisor."),
    ),
    "unknown_shape": (
        later(
            "the shape of its family '{model_type}', or of a part of it, is not known here, and "
            "a guess could be far off"
        ),
        later("Choose a model of a known family (sft-advisor probe models), or a newer release of sft-advisor."),
    ),
}
"""Use -> why the trainer cannot load it, and what trains it."""

_BETWEEN_WORDS = re.compile(r"[^a-z0-9.]+|(?<!\d)\.|\.(?!\d)")

KNOWN_TO = "5.23"
"""The version of transformers that model_uses.json was read from."""


def use_of(config: Mapping[str, Any], *, known: bool = True) -> Use:
    """What the checkpoint with this config.json is made for; `known`: its family has a builder of its own.

    A family that has none is never guessed at: read as a Llama-like decoder a mixture would be far too small, and
    other models were up to three times too large.
    """
    model_type = config.get("model_type")
    listed = _listed(model_type) if isinstance(model_type, str) else "unknown"
    if listed == "unknown" and isinstance(config.get("auto_map"), Mapping):
        return "own_code"
    if config.get("is_encoder_decoder") is True and listed in ("causal", "unknown"):
        return "seq2seq"
    if listed == "encoder" and config.get("is_decoder") is True:
        return "causal"
    if listed == "causal" and _is_encoder(config):
        return "encoder"
    if listed == "causal" and not known:
        return "unknown_mixture" if _has_experts(config) else "unknown_shape"
    return listed


def refusal(model: ModelSpec) -> Problem | None:
    """Why the trainer would not load this model, with what to do instead; None when it would."""
    if model.use == "causal":
        return None
    why, instead = _INSTEAD[model.use]
    return Problem(
        what=tr("{name} cannot be fine-tuned here", name=model.name),
        why=tr(why, version=KNOWN_TO, model_type=model.model_type),
        fix=tr(instead),
        where="--model",
    )


def refusal_by_name(text: str) -> Problem | None:
    """As `refusal`, for a model whose config cannot be read: by words of its name; None where none tells."""
    found = _told_by(text)
    if found is None:
        return None
    why, instead = _INSTEAD[found]
    return Problem(
        what=tr("{name} cannot be fine-tuned here", name=text),
        why=tr("by its name, as its config could not be read: {why}", why=tr(why)),
        fix=tr(instead),
        where="--model",
    )


def _told_by(text: str) -> Use | None:
    """What a name says that its model is for: its first words together or one of them, else one of them without the
    version at its end ("sam2"). A copy for transformers ("-hf") brings no code of its own, nor need a later version.
    """
    named = _read("named_uses.toml")
    name = text.rpartition("/")[2].lower()
    words = _BETWEEN_WORDS.split(name)[:3]
    stated = [" ".join(words), " ".join(words[:2]), *words]
    found = next((named[part] for part in stated if part in named), None)
    if found is None:
        bare = [word.rstrip("0123456789.") for word in words]
        later_version = next((named[part] for part in bare if part in named), None)
        return None if later_version == "own_code" else later_version
    return None if found == "own_code" and name.endswith("-hf") else found


def _listed(model_type: str) -> Use:
    """As what transformers loads this family, where a family that text alone runs through counts as causal."""
    listed = _read("model_uses.json").get(model_type, "unknown")
    return "causal" if listed == "image_text" and model_type in TEXT_ALONE else listed


def _has_experts(config: Mapping[str, Any]) -> bool:
    parts = [config, *(part for part in config.values() if isinstance(part, Mapping))]
    return any(part.get(key) for part in parts for key in _EXPERT_KEYS)


def _is_encoder(config: Mapping[str, Any]) -> bool:
    architectures = config.get("architectures")
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    return bool(names) and all(name.endswith(_ENCODER_HEADS) for name in names)


@cache
def _read(name: str) -> dict[str, Use]:
    """A table of uses, turned round: what it lists -> its use."""
    file = Path(__file__).with_name(name)
    decode = msgspec.toml.decode if file.suffix == ".toml" else msgspec.json.decode
    table: dict[Use, list[str]] = decode(file.read_bytes(), type=dict[Use, list[str]])
    return {listed: use for use, names in table.items() for listed in names}
