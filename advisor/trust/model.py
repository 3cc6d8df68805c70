"""A model folder or GGUF file: program code, pickles, templates, licence, texts that are not what they look like."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from advisor.base.errors import InputError
from advisor.base.language import tr
from advisor.model.folder import read_metadata, read_safetensors_header
from advisor.model.gguf import read_header
from advisor.model.licence import is_limited, limited_licence
from advisor.trust.files import Lying, lying_in
from advisor.trust.patterns import may_not_end
from advisor.trust.signs import hidden_text, in_strings, named, private_path, secret, strings
from advisor.trust.templates import template_reach, templates_in
from advisor.trust.tokens import Tokenizer, everyday_ends, odd_tokens, read_tokenizer
from trainers.foreign.files import CONFIG_BYTES, TOKENIZER_CONFIG_BYTES, json_object, read_small_file, repeated_keys
from trainers.foreign.text import brief

CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", "adapter_config.json",
           "special_tokens_map.json", "processor_config.json", "preprocessor_config.json", "chat_template.json",
           "added_tokens.json")  # fmt: skip
OWN_CODE = ("auto_map", "trust_remote_code", "megatron_core", "custom_pipelines")
"""Keys of configs that name Python to be imported or let it be."""
HUB_CODE = re.compile(r"_?(?:attn|experts|\w+)_implementation")
"""Keys whose value may be a repository of the hub, from where kernels, which are programs, are fetched and run."""
HARMLESS_MODULES = ("megatron.core",)
"""What peft writes into every adapter."""
DEEPEST = 20
GGUF_TEMPLATE = "tokenizer.chat_template"


def model_facts(folder: Path, *, with_weights: bool = True) -> dict[str, str | None]:
    """The trust facts of a model folder; what cannot be read is one.

    Of the large files, weights and tokenizer.json, only `with_weights`.
    """
    lying = lying_in(folder)
    configs, damaged = _configs(folder)
    damaged += lying.damaged
    damaged += [
        tr("{name} says {key!r} more than once", name=name, key=key)
        for name in configs
        for key in repeated_keys(folder / name)
    ]
    damaged += _endless(configs.get("adapter_config.json", {}))
    inside: dict[str, Any] = {}
    for name in (*lying.weights, *lying.ggufs) if with_weights else ():
        try:
            inside[name] = _inside(folder / name)
        except InputError as error:
            damaged += [problem.what for problem in error.problems]
    templates = dict(_templates(folder, lying, configs, inside))
    tokenizer = read_tokenizer(folder / "tokenizer.json") if with_weights else Tokenizer()
    texts = {**configs, **inside, **templates, "tokenizer.json": [one.content for one in tokenizer.added_tokens]}
    return {
        "trust.own_code": named([*_own_code(configs), *_own_modules(folder)]),
        "trust.pickles": named(lying.pickles),
        "trust.programs": named(lying.programs),
        "trust.template_reach": named([one for source in templates.values() for one in template_reach(source)]),
        "trust.hidden_text": named([*_in_all(hidden_text, texts), *lying.hidden_text]),
        "trust.private_paths": named(_in_all(private_path, {**configs, **inside})),
        "trust.secrets": named([*_in_all(secret, texts), *lying.secrets]),
        "trust.leads_out": named(lying.leading_out),
        "trust.licence_limits": limited_licence(folder) or _limited_by(inside),
        "trust.damaged": named(damaged),
        "trust.odd_tokens": named(
            everyday_ends(configs)
            + odd_tokens(
                configs.get("tokenizer_config.json", {}),
                tokenizer,
                configs.get("config.json", {}).get("vocab_size"),
            )
        ),
    }  # fmt: skip


def gguf_facts(path: Path) -> dict[str, str | None]:
    """The trust facts of one GGUF file."""
    try:
        metadata = read_header(path).metadata
    except InputError as error:
        return {"trust.damaged": error.problems[0].what}
    inside = {path.name: metadata}
    return {
        "trust.template_reach": named([one for source in _of_gguf(metadata) for one in template_reach(source)]),
        "trust.hidden_text": named(_in_all(hidden_text, inside)),
        "trust.private_paths": named(_in_all(private_path, inside)),
        "trust.secrets": named(_in_all(secret, inside)),
        "trust.licence_limits": _limited_by(inside),
    }


def _inside(path: Path) -> dict[str, Any]:
    """What a file of weights says beside them. Raises InputError."""
    if path.suffix.lower() == ".gguf":
        return read_header(path).metadata
    read_safetensors_header(path)
    return read_metadata(path)


def _templates(
    folder: Path, lying: Lying, configs: dict[str, Any], inside: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Name and source of every chat template, whichever of them a program picks."""
    for name in lying.templates:
        try:
            yield name, read_small_file(folder / name, TOKENIZER_CONFIG_BYTES).decode(errors="replace")
        except OSError:
            continue
    for name, content in configs.items():
        for number, source in enumerate(templates_in(content)):
            yield f"{name} chat_template[{number}]", source
    for name, metadata in inside.items():
        for number, source in enumerate(_of_gguf(metadata)):
            yield f"{name} chat_template[{number}]", source


def _of_gguf(metadata: dict[str, Any]) -> list[str]:
    return [said for key, said in metadata.items() if key.startswith(GGUF_TEMPLATE) and isinstance(said, str)]


def _limited_by(inside: dict[str, Any]) -> str | None:
    named_there = [str(metadata.get("general.license", "")) for metadata in inside.values()]
    return next((licence for licence in named_there if is_limited(licence)), None)


def _in_all(check: Callable[[str], str | None], documents: dict[str, Any]) -> list[str]:
    return [one for name, value in documents.items() for one in in_strings(check, value, name)]


def _configs(folder: Path) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    damaged = []
    for name in CONFIGS:
        if (folder / name).exists():
            content = json_object(folder / name, TOKENIZER_CONFIG_BYTES)
            if content is None:
                damaged.append(tr("{name} is no JSON object that can be read", name=name))
            else:
                found[name] = content
    return found, damaged


def _own_code(configs: dict[str, Any]) -> list[str]:
    found = []
    for name, content in configs.items():
        said = set(_code_keys(content)) | ({"auto_mapping"} if content.get("auto_mapping") else set())
        found += [tr("{key} in {name}", key=key, name=name) for key in sorted(said)]
    return found


def _own_modules(folder: Path) -> list[str]:
    """What sentence-transformers would import to build the model, beside its own."""
    try:
        listed = json.loads(read_small_file(folder / "modules.json", CONFIG_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    types = [str(one.get("type", "")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [f"modules.json: {one}" for one in types if one and not one.startswith("sentence_transformers.")]


def _endless(adapter: dict[str, Any]) -> list[str]:
    """Patterns over the names of modules, which peft matches without a limit."""
    found = [said for _, said in strings(adapter) if may_not_end(said)]
    return [
        tr("adapter_config.json: the pattern {pattern} may never come to an end", pattern=brief(said))
        for said in found
    ]


def _code_keys(value: Any, depth: int = 0) -> Iterator[str]:
    """Those of OWN_CODE, at any depth, whose value means something."""
    if isinstance(value, dict):
        yield from (key for key in OWN_CODE if value.get(key) and value[key] not in HARMLESS_MODULES)
        yield from (key for key, said in value.items() if HUB_CODE.fullmatch(key) and "/" in str(said))
    if depth < DEEPEST and isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            if isinstance(one, dict | list):
                yield from _code_keys(one, depth + 1)
