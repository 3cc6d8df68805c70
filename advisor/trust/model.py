"""A model folder: program code, pickles, its template, its licence, and texts that are not what they look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.language import tr
from advisor.model.folder import chat_template, read_safetensors_header
from advisor.trust.licence import limited_licence
from advisor.trust.signs import (
    PICKLES,
    PROGRAMS,
    files_ending,
    hidden_text,
    in_strings,
    leading_out,
    named,
    private_path,
    secret,
)
from advisor.trust.tokens import odd_tokens
from trainers.foreign.files import TOKENIZER_CONFIG_BYTES, json_object, repeated_keys

CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", "adapter_config.json",
           "special_tokens_map.json", "processor_config.json")  # fmt: skip
TRAINING_STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin")
# What a template of a conversation has no use for: Python's insides, other files, loops over large ranges.
_REACH = re.compile(
    r"__\w+__|\.mro\b|\.func_\w+|\battr\s*\(|{%-?\s*(?:include|import|from|extends)\b"
    r"|range\(\s*\d{4,}|\*\s*\d{5,}"
)


def model_facts(folder: Path, *, with_weights: bool = True) -> dict[str, str | None]:
    """The trust facts of a model folder; what cannot be read is one.

    Of the large files, weights and tokenizer.json, only `with_weights`.
    """
    configs, damaged = _configs(folder)
    damaged += [
        tr("{name} says {key!r} more than once", name=name, key=key)
        for name in configs
        for key in repeated_keys(folder / name)
    ]
    template = None
    try:
        template = chat_template(folder)
        for file in sorted(folder.glob("*.safetensors")) if with_weights else ():
            read_safetensors_header(file)
    except InputError as error:
        damaged += [problem.what for problem in error.problems]
    texts = {**configs, **({"chat template": template} if template else {})}
    return {
        "trust.own_code": named(_own_code(configs)),
        "trust.pickles": named(files_ending(folder, PICKLES)),
        "trust.programs": named(files_ending(folder, PROGRAMS)),
        "trust.template_reach": named(_REACH.findall(template)) if template else None,
        "trust.hidden_text": _in_all(hidden_text, texts),
        "trust.private_paths": _in_all(private_path, configs),
        "trust.secrets": _in_all(secret, configs),
        "trust.leads_out": named(leading_out(folder)),
        "trust.licence_limits": limited_licence(folder),
        "trust.damaged": named(damaged),
        "trust.odd_tokens": named(
            odd_tokens(
                configs.get("tokenizer_config.json", {}),
                folder / "tokenizer.json" if with_weights else None,
                configs.get("config.json", {}).get("vocab_size"),
            )
        ),
    }  # fmt: skip


def _in_all(check: Callable[[str], str | None], documents: dict[str, Any]) -> str | None:
    return named([one for name, value in documents.items() for one in in_strings(check, value, name)])


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
        if content.get("auto_map"):
            found.append(tr("auto_map in {name}", name=name))
        if content.get("megatron_core") or (content.get("auto_mapping") and name == "adapter_config.json"):
            found.append(tr("a module to import in {name}", name=name))
        if content.get("trust_remote_code"):
            found.append(tr("trust_remote_code in {name}", name=name))
    return found
