"""What people type for a model, taken apart: address, owner, name, and what the end of the name says of the copy."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from advisor.model.spec import NativeQuant

Runtime = Literal["GGUF", "MLX", "EXL", "ONNX"]

MIRRORS = frozenset(
    (
        *("unsloth", "nousresearch", "bartowski", "thebloke", "mlx-community", "lmstudio-community", "ggml-org"),
        *("redhatai", "neuralmagic", "quanttrio", "cyankiwi", "cpatonn", "gaunernst", "hugging-quants", "amd"),
        *("casperhansen", "solidrust", "ista-daslab", "techxgenus", "stelterlab", "nvidia", "intel"),
        *("mradermacher", "maziyarpanahi", "kaitchup", "alpindale", "axolotl-ai-co", "cohereforai", "thudm"),
    )
)
"""Owners that publish models, or copies of others', unchanged under their names; small letters."""

_ADDRESS = re.compile(
    r"^(?:ollama\s+(?:run|pull)\s+)?(?:hf://|(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com|"
    r"modelscope\.cn/models|modelscope\.cn|ollama\.com/library|ollama\.com|registry\.ollama\.ai/library)/)?",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"/(?:tree|blob|resolve|raw)/.*$|[?#].*$")
_CACHED = re.compile(r"(?:^|[/\\])models--([\w.-]+?)--([\w.-]+?)(?:[/\\]|$)")

_COPIES: tuple[tuple[str, NativeQuant, Runtime | None], ...] = (
    (r"(?:unsloth[-_ ])?(?:dynamic[-_ ])?bnb[-_ ]?4bit|4bit[-_ ]bnb|nf4|qlora[-_ ]4bit", "nf4", None),
    (r"bnb[-_ ]?8bit|llm[-_.]int8", "int8", None),
    (r"gptq(?:model)?(?:[-_ ]?(?:int8|8bit))", "int8", None),
    (r"gptq(?:model)?(?:[-_ ]?(?:int4|4bit|g?\d+))*", "int4", None),
    (r"(?:autoawq|awq)(?:[-_ ]?(?:bf16[-_ ])?int8|[-_ ]8bit)(?:[-_ ]int4)?", "int8", None),
    (r"(?:autoawq|awq)(?:[-_ ]?(?:bf16[-_ ])?(?:int4|4bit|w4a16|marlin))*", "int4", None),
    (r"(?:quantized[.-])?w4a16|int4(?:[-_ ]awq)?|autoround", "int4", None),
    (r"(?:quantized[.-])?w8a(?:8|16)|int8", "int8", None),
    (r"(?:nv)?fp4(?:[-_ ]fp8)?", "nvfp4", None),
    (r"(?:fbgemm[-_ ])?fp8(?:[-_ ](?:dynamic|block|kv))*", "fp8", None),
    (
        r"(?:i1[-_ ])?gguf|ggml|imatrix|(?:ud[-_])?i?q[2-8](?:_[0-9ks])?(?:_[sml]|_xl|_xs|_nl)?|tq[12]_0",
        "none",
        "GGUF",
    ),
    (r"mlx(?:[-_ ]?\d?bit|[-_ ]bf16|[-_ ]mxfp4|[-_ ]nvfp4)?|optiq[-_ ]\dbit|[2-8]bit[-_ ]dwq", "none", "MLX"),
    (r"exl[23]|[\d.]+bpw", "none", "EXL"),
    (r"onnx(?:[-_ ]web)?", "none", "ONNX"),
    (r"mxfp4(?:[-_ ]qat)?", "mxfp4", None),
    (r"bf16|fp16|f16|safetensors|text[-_ ]only|qat(?:[-_ ]q4_0)?(?:[-_ ]unquantized)?|latest|hf", "none", None),
    (r"[234568][-_ ]?bits?", "nf4", None),
)
"""End of a name -> how the weights of that copy are stored, and the runtime that alone reads it."""

_ENDINGS = tuple((re.compile(rf"^(.+?)[-_ .:]+(?:{what})$", re.IGNORECASE), how, runs) for what, how, runs in _COPIES)
_RUNTIMES_OF: dict[str, Runtime] = {"mlx-community": "MLX"}
_CHAT = re.compile(r"[-_ .]*(?:instruct|chat|it|base|pt|hf|text)$", re.IGNORECASE)
_VERSION = re.compile(r"[-_ ]+v\d+(?:\.\d+)*$", re.IGNORECASE)
_MAKERS = re.compile(
    r"^(?:meta|google|mistralai|mistral ai|openai|microsoft|alibaba|ibm|nvidia|facebook|tencent|baidu|moonshot|zhipu)"
    r"(?:[-_ ]+|/)(?=\w)",
    re.IGNORECASE,
)


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """A name taken apart."""

    address: str
    """Owner and name as the hub has them, or the name alone: what is left of a link or a cache folder."""
    owner: str
    """Small letters; empty where none was typed."""
    name: str
    """The model's name without what follows from the copy."""
    stored: NativeQuant = "none"
    """How the copy's weights are stored, as far as its name says."""
    runtime: Runtime | None = None
    """The runtime that alone reads the copy: it cannot be trained."""


def read_name(text: str) -> Typed:
    """The parts of a typed name."""
    cached = _CACHED.search(text)
    plain = f"{cached[1]}/{cached[2]}" if cached else _INSIDE.sub("", _ADDRESS.sub("", text.strip().strip("'\""), 1))
    address = re.sub(r"\s+", " ", plain).strip("/ ")
    owner, _, name = address.rpartition("/")
    base, stored, runtime = _without_endings(re.sub(r"(?i)(\d)\s*billion", r"\1b", name.replace(":", "-")))
    runtime = runtime or _RUNTIMES_OF.get(owner.lower())
    return Typed(
        address=address,
        owner=owner.lower(),
        name=base,
        stored="none" if runtime else stored,
        runtime=runtime,
    )


def _without_endings(name: str) -> tuple[str, NativeQuant, Runtime | None]:
    stored: NativeQuant = "none"
    runtime: Runtime | None = None
    found = True
    while found:
        found = False
        for ending, how, runs in _ENDINGS:
            if match := ending.match(name):
                name, found = match[1], True
                stored, runtime = stored if stored != "none" else how, runtime or runs
                break
    return name, stored, runtime


def key(text: str) -> str:
    """What names are compared by: small letters, digits and the dots between these."""
    return re.sub(r"[^a-z0-9.]", "", text.lower())


def keys(name: str) -> list[str]:
    """Keys under which a name may be known, the most exact first: as it is, without the maker's name, without what
    says chat or base, without the version, without dots."""
    bare = _MAKERS.sub("", name)
    shape = _CHAT.sub("", bare)
    steps = [name, bare, shape, _VERSION.sub("", shape), _CHAT.sub("", _VERSION.sub("", bare))]
    found = [key(step) for step in steps]
    return list(dict.fromkeys([*found, *(one.replace(".", "") for one in found)]))
