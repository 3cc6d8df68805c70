"""The shape that a row's model name means: mirrors and quantised copies have that of the model they copy."""

from __future__ import annotations

import os
import re
from functools import cache

import msgspec

from advisor.base.errors import AdvisorError
from advisor.model.catalog import from_catalog
from advisor.model.spec import ModelSpec
from tests.benchmarks.published.methods import added_blocks
from tests.benchmarks.published.rows import NotExpressed, NotStated
from tests.benchmarks.published.shapes import older_shape

_SAME_SHAPE = {
    "meta-llama/Meta-Llama-3-70b-hf": "meta-llama/Llama-3.1-70B",
    "decapoda-research/llama-7b-hf": "meta-llama/Llama-2-7b-hf",
    "decapoda-research/llama-13b-hf": "meta-llama/Llama-2-13b-hf",
    "THUDM/chatglm3-6b-32k": "THUDM/chatglm3-6b",
    "LLaMA-7B config": "meta-llama/Llama-2-7b-hf",
    "bigscience/bloomz-7b1": "bigscience/bloom-7b1",
    "unsloth/codegemma-7b-bnb-4bit": "google/gemma-7b",
    "unsloth/Magistral-Small-2509-unsloth-bnb-4bit": "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    "mistralai/Magistral-Small-2509": "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    "openbmb/MiniCPM-2B-sft-bf16": "openbmb/MiniCPM-2B",
    "allenai/Olmo-3-7B-Instruct-SFT": "allenai/Olmo-3-7B-Instruct",
    "mistralai/Devstral-Small-2507": "mistralai/Mistral-Small-24B-Base-2501",
    "mistralai/Magistral-Small-2506": "mistralai/Mistral-Small-24B-Base-2501",
    "mistralai/Magistral-Small-2507": "mistralai/Mistral-Small-24B-Base-2501",
}
"""Names that only their model cards tie to a shape of the catalogue."""
_COPY = r"(?i)(-unsloth)?(-bnb)?-[48]bit$|-(gptq|awq|gguf|hqq|aqlm|exl2|(nv|mx)?fp[48]|w\d+a\d+|int[48])(-int[48])?$"
_VERSION = r"(?i)-(instruct|chat|it|base|pt|hf|sft|dpo|thinking|reasoning)(-\d{4})?$|-\d{4}$"
PARAMETERS_MAY_DIFFER = 0.06
"""Of a row's own params_b (a round figure), where the shape was found by a mirror's name."""


def model_of(row: dict[str, str]) -> ModelSpec:
    """The catalogue's shape for this row, as its framework holds it. Raises NotExpressed when there is none."""
    name = row["model"]
    if name.startswith("unknown") or "not stated" in name:
        raise NotStated(f"model {name}")
    if name.startswith("bert"):
        raise NotExpressed("an encoder, not a language model")
    stated = row["params_b"]
    found = _by_name(name, counted=re.fullmatch(r"[\d.]+", stated) is not None)
    assert found.path is not None
    same = found.path.lower() == name.lower()
    if not same and re.fullmatch(r"[\d.]+", stated) and _differ(found, float(stated)):
        raise NotExpressed(f"{name}: {stated} billion parameters stated, the shape has {found.num_params / 1e9:.2f}")
    return _grown(_as_loaded(found, row), added_blocks(row))


def _grown(model: ModelSpec, blocks: int) -> ModelSpec:
    """LLaMA Pro: copies of blocks between those that are there."""
    if not blocks:
        return model
    first, *rest = model.layers
    layers = (msgspec.structs.replace(first, count=first.count + blocks), *rest)
    return msgspec.structs.replace(model, layers=layers, num_hidden_layers=model.num_hidden_layers + blocks)


def _differ(found: ModelSpec, billions: float) -> bool:
    return abs(found.num_params / 1e9 / billions - 1) > PARAMETERS_MAY_DIFFER


@cache
def _by_name(name: str, *, counted: bool) -> ModelSpec:
    """`counted`: the row states how many parameters there are, so that a model trained further, whose name ends with
    that of its base, can be told from another one."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for spelling in (*_spellings(name), *(_bases(name) if counted else ())):
        try:
            found = from_catalog(spelling)
        except AdvisorError:
            continue
        found = found or older_shape(spelling)
        if found is not None:
            return found
    raise NotExpressed(f"model not in the catalogue: {name}")


def _spellings(name: str) -> list[str]:
    """The name, then what it is a copy of, with less and less of its ending."""
    full = _SAME_SHAPE.get(name, name)
    short = re.sub(_COPY, "", full.rpartition("/")[2].replace(" ", "-"))
    plain = re.sub(_VERSION, "", re.sub("(?i)^meta-", "", short))
    tried = [full, short, re.sub(_COPY, "", short), plain, re.sub(_VERSION, "", plain), f"{plain}-hf"]
    return list(dict.fromkeys(tried))


def _bases(name: str) -> list[str]:
    """What the end of a name names, the longest first: Hermes-3-Llama-3.1-8B -> Llama-3.1-8B."""
    words = _spellings(name)[-2].split("-")
    ends = ["-".join(words[start:]) for start in range(1, len(words) - 1)]
    return [end for end in ends if re.search(r"(?i)[a-z].*\d", end)]


def _as_loaded(model: ModelSpec, row: dict[str, str]) -> ModelSpec:
    """litgpt holds an output layer of its own where the published model ties it."""
    if row["framework"].startswith("litgpt") and model.tie_word_embeddings:
        return msgspec.structs.replace(model, tie_word_embeddings=False, head_params=model.embedding_params)
    return model
