"""spec_from_config: the exact shape of a causal language model from its config.json, without torch.

A family is one function that says which parts its blocks have. The counts are tested against transformers'
modules on the meta device. A family that is not known is read as a Llama-like decoder, marked `known = False`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Literal

from msgspec.structs import replace

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.blocks import Shape, Sizes, grouped
from advisor.model.config import ConfigReader, family_of
from advisor.model.families.dense import OTHER_WIDTHS, guessed
from advisor.model.families.traits import Builder, derived_traits
from advisor.model.kernels import lacking
from advisor.model.sight import eyes_in
from advisor.model.spec import ModelSpec, Traits
from advisor.model.stored import native_quant
from advisor.model.towers import Form, form_of, has_towers, is_tied, towers_of
from advisor.model.unpacked import skip_list, with_unpacked
from advisor.model.use import refusal, use_of

Source = Literal["catalog", "folder", "gguf", "hub"]

TABLES = {
    "dense": "DENSE",
    "gemma": "GEMMA",
    "moe": "MOE",
    "dense_first": "DENSE_FIRST",
    "deepseek_v4": "DEEPSEEK_V4",
    "state_space": "STATE_SPACE",
    "linear_attention": "LINEAR_ATTENTION",
    "classic": "CLASSIC",
    "foreign": "FOREIGN",
}
"""Module -> its table of builders by model_type; later modules are loaded only for what the earlier do not know."""


def builder_of(model_type: str) -> Builder | None:
    """The function that knows this family; None when none does."""
    return next((table[model_type] for table in _tables() if model_type in table), None)


def built_families() -> frozenset[str]:
    """Every model_type with a builder of its own."""
    return frozenset(name for table in _tables() for name in table)


def _tables() -> Iterator[Mapping[str, Builder]]:
    for module, table in TABLES.items():
        yield getattr(import_module(f"advisor.model.families.{module}"), table)


_DTYPES = {"float32": "float32", "fp32": "float32", "float16": "float16", "half": "float16", "fp16": "float16"}


def spec_from_config(
    config: Mapping[str, Any], name: str | None = None, source: Source = "folder", where: str = "config.json"
) -> ModelSpec:
    """The model that a config.json describes.

    Counts are those of transformers' class for the whole model (`parameters()`): tied weights once, no buffers, the
    parts for images and sound apart. Raises InputError with every value of the config that is missing, of the wrong
    type, or out of range.
    """
    form = form_of(config)
    text, model_type = _language_part(config, where, form)
    notes: list[str] = []
    reader = ConfigReader(text, model_type, where)
    builder = builder_of(model_type)
    if builder is None:
        notes.append(
            tr(
                "the family '{model_type}' is not known; its shape is guessed as a Llama-like "
                "decoder, so that counts and memory may be off",
                model_type=model_type or "unknown",
            )
        )
    shape = builder(reader) if builder else guessed(reader)
    spec = _spec(reader, shape, name or model_type, source, builder is not None, notes, config)
    try:
        reader.check()
    except InputError as error:
        if spec.use == "own_code" and (problem := refusal(spec)):
            raise InputError(problem) from error  # what its config lacks is in its code, and nobody can add it
        raise
    return _with_towers(spec, config, form)


def _spec(
    reader: ConfigReader,
    shape: Shape,
    name: str,
    source: Source,
    known: bool,
    notes: list[str],
    whole: Mapping[str, Any],
) -> ModelSpec:
    size = Sizes(reader)
    tied = size.tied if shape.tied is None else shape.tied
    embedding = size.vocab * size.hidden if shape.embedding_params is None else shape.embedding_params
    use = use_of(whole, known=known)
    # A tied head still owns its bias.
    head = (0 if tied else size.vocab * size.hidden) + (size.vocab if shape.head_bias else 0)
    return ModelSpec(
        name=name,
        source=source,
        model_type=reader.model_type,
        known=known and shape.exact,
        notes=(*notes, *shape.notes),
        hidden_size=size.hidden,
        num_hidden_layers=len(shape.blocks),
        num_attention_heads=1 if shape.attention_free else shape.heads or size.heads,
        num_key_value_heads=1 if shape.attention_free else shape.kv_heads or size.kv_heads,
        head_dim=size.hidden if shape.attention_free else size.head_dim,
        intermediate_size=_intermediate(reader, size),
        vocab_size=size.vocab,
        tie_word_embeddings=tied,
        max_position_embeddings=reader.maybe(
            "max_position_embeddings", "seq_length", "model_max_length", "max_seq_len"
        ),
        sliding_window=next((group.sliding_window for group in shape.blocks if group.sliding_window), None),
        norm=shape.norm,
        gated_mlp=shape.gated_mlp,
        parallel_block=shape.parallel_block,
        qk_norm=shape.qk_norm,
        traits=_with_kernels(shape.traits, reader.model_type, str(whole.get("model_type"))),
        torch_dtype=_dtype(reader, whole),
        native_quant=native_quant(whole),
        use=use,
        encoder_decoder=whole.get("is_encoder_decoder") is True or use == "seq2seq",
        layers=grouped(with_unpacked(shape.blocks, skip_list(whole))),
        embedding_params=embedding,
        head_params=head,
        final_norm_params=shape.final_norm_params,
        other_params=shape.other_params,
        outer_linears=shape.outer,
    )


def _with_kernels(traits: Traits, model_type: str, whole: str) -> Traits:
    """The traits with the kernels that the class of the language model, or of the whole model, has or lacks."""
    classes, found = {model_type, whole}, lacking()
    return replace(
        traits,
        **derived_traits(model_type),
        no_sdpa=bool(classes & found.sdpa),
        no_flash2=bool(classes & found.flash2),
    )


def _intermediate(reader: ConfigReader, size: Sizes) -> int:
    """Width of the dense feed-forward part; that of an expert where all blocks have experts."""
    stated = reader.get("intermediate_size")
    if isinstance(stated, list):
        return max((width for width in stated if isinstance(width, int)), default=4 * size.hidden)
    return reader.size("intermediate_size", *OTHER_WIDTHS, "moe_intermediate_size", default=4 * size.hidden)


def _language_part(config: Mapping[str, Any], where: str, form: Form | None) -> tuple[Mapping[str, Any], str]:
    """The config of the language model itself, and its model_type."""
    model_type = config.get("model_type", "")
    if not isinstance(model_type, str):
        raise InputError(
            Problem(what=tr("model_type is {model_type!r}, not a word", model_type=model_type), where=where)
        )
    inner = next((config[key] for key in ("text_config", "llm_config", "language_config") if key in config), None)
    if not isinstance(inner, Mapping):
        return config, family_of(model_type).text or model_type
    inner_type = str(inner.get("model_type") or family_of(model_type).text or model_type)
    # Values of the whole model count where the inner part is silent, as in transformers.
    text = {**{key: config[key] for key in ("torch_dtype", "dtype") if key in config}, **inner}
    outer, own = config.get("tie_word_embeddings"), inner.get("tie_word_embeddings")
    if form is not None:
        default = family_of(inner_type).defaults.get("tie_word_embeddings", True)
        text["tie_word_embeddings"] = is_tied(form, outer, own, default is True)
    elif outer is not None:
        text["tie_word_embeddings"] = outer
    return text, inner_type


def _with_towers(spec: ModelSpec, config: Mapping[str, Any], form: Form | None) -> ModelSpec:
    """The model with its parts for images and sound, and a note about them."""
    towers = towers_of(form, config, spec.hidden_size) if form else None
    if towers is None and (form or has_towers(config)):
        note = tr("its parts for images or sound are not counted: how they are built is not known here")
        use = "unknown_shape" if spec.use == "causal" else spec.use
        return replace(spec, known=False, use=use, notes=(*spec.notes, note))
    if not towers:
        return spec
    spec = replace(spec, towers=towers, eyes=eyes_in(form, config, spec.hidden_size) if form else None)
    share = tr(
        "{tower_params:.2f} of its {num_params:.2f} billion parameters",
        tower_params=spec.tower_params / 1000000000.0,
        num_params=spec.num_params / 1000000000.0,
    )
    return replace(spec, notes=(*spec.notes, f"{share} are parts for images or sound, which text does not train"))


def _dtype(reader: ConfigReader, whole: Mapping[str, Any]) -> str:
    stated = reader.text("dtype", "torch_dtype") or whole.get("dtype") or whole.get("torch_dtype") or "bfloat16"
    return _DTYPES.get(str(stated).removeprefix("torch."), "bfloat16")
