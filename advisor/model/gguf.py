"""A GGUF file: its header alone (metadata and tensor table), read without any library.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (magic, version, counts, key-values, tensor table).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.families import spec_from_config
from advisor.model.limits import GGUF_DIMENSIONS, GGUF_KEYS, GGUF_TENSORS, GGUF_TEXT_BYTES, GGUF_TEXTS
from advisor.model.spec import ModelSpec
from trainers.foreign.files import require_plain_file

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_FLOAT_TYPES = {0: "float32", 1: "float16", 30: "bfloat16"}
_FAMILIES = {
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "gpt-oss": "gpt_oss",
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "minimax-m2": "minimax_m2",
    "command-r": "cohere",
    "deepseek2": "deepseek_v3",
    "gptneox": "gpt_neox",
}
# What transformers 5.23 can load from a GGUF file (integrations/ggml.py).
_LOADABLE = {
    "llama", "mistral", "qwen2", "qwen2moe", "gpt-oss", "lfm2", "qwen3", "qwen3moe", "falcon", "phi3", "bloom",
    "stablelm", "gpt2", "starcoder2", "mamba", "nemotron", "gemma2", "gemma3", "gemma4", "deci", "minimax-m2",
}  # fmt: skip


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says. Long arrays (the vocabulary) are kept as their length only."""

    metadata: dict[str, Any]
    array_lengths: dict[str, int]
    tensors: dict[str, tuple[tuple[int, ...], int]]
    """Name -> (dimensions, innermost first; ggml type)."""

    @property
    def num_params(self) -> int:
        """Elements of all tensors."""
        total = 0
        for dimensions, _ in self.tensors.values():
            count = 1
            for length in dimensions:
                count *= length
            total += count
        return total


def spec_from_gguf(path: Path) -> ModelSpec:
    """The model in a GGUF file. Raises InputError when it is not a GGUF file, is cut short or lacks a size."""
    header = read_header(path)
    architecture = str(header.metadata.get("general.architecture", ""))
    if not architecture:
        raise _broken(path, tr("does not name its architecture"))
    config = _config(header, architecture)
    spec = spec_from_config(config, path.stem, "gguf", str(path))
    stored = {kind for dimensions, kind in header.tensors.values() if len(dimensions) > 1}
    plain = {_FLOAT_TYPES[kind] for kind in stored if kind in _FLOAT_TYPES} if stored <= set(_FLOAT_TYPES) else set()
    tokenizer = path.parent / "tokenizer.json"
    return msgspec.structs.replace(
        spec,
        path=str(path.parent),
        gguf_file=path.name,
        notes=(*spec.notes, *_notes(header, architecture, spec)),
        native_quant="none" if plain else "gguf",
        torch_dtype=min(plain) if plain else spec.torch_dtype,
        weight_file_bytes=path.stat().st_size,
        has_chat_template="tokenizer.chat_template" in header.metadata,
        tokenizer_path=str(tokenizer) if tokenizer.is_file() else None,
    )


def read_header(path: Path) -> GgufHeader:
    """Metadata and tensor table of a GGUF file. Raises InputError saying where it breaks off."""
    try:
        if require_plain_file(path) < 24:
            raise _broken(path, tr("is not a GGUF file: it is too short"))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(content).header(path)
    except OSError as error:
        raise _broken(path, tr("cannot be read: {strerror}", strerror=error.strerror)) from error
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise _broken(path, tr("was cut short or is damaged: {error}", error=error)) from error


class _Reader:
    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.at = 0
        self.lengths: dict[str, int] = {}

    def header(self, path: Path) -> GgufHeader:
        if self.content[:4] != b"GGUF":
            raise _broken(path, tr("is not a GGUF file (it does not begin with 'GGUF')"))
        self.at = 4
        version = self.number("<I")
        if version not in (2, 3):
            raise _broken(path, tr("is GGUF version {version}; versions 2 and 3 are read", version=version))
        num_tensors, num_pairs = self.number("<Q"), self.number("<Q")
        if num_pairs > GGUF_KEYS or num_tensors > GGUF_TENSORS or num_tensors > len(self.content):
            raise IndexError(f"it counts {num_pairs:,} keys and {num_tensors:,} tensors")
        metadata: dict[str, Any] = {}
        for _ in range(num_pairs):
            key = self.text()
            metadata[key] = self.value(self.number("<I"), key)
        tensors: dict[str, tuple[tuple[int, ...], int]] = {}
        for _ in range(num_tensors):
            name = self.text()
            count = self.number("<I")
            if count > GGUF_DIMENSIONS:
                raise IndexError(f"a tensor of {count:,} dimensions")
            dimensions = tuple(self.number("<Q") for _ in range(count))
            tensors[name] = (dimensions, self.number("<I"))
            self.number("<Q")
        return GgufHeader(metadata=metadata, array_lengths=self.lengths, tensors=tensors)

    def number(self, layout: str) -> Any:
        (value,) = struct.unpack_from(layout, self.content, self.at)
        self.at += struct.calcsize(layout)
        return value

    def text(self) -> str:
        length = self.number("<Q")
        if length > min(len(self.content) - self.at, GGUF_TEXT_BYTES):
            raise IndexError(f"a text of {length} bytes at byte {self.at}")
        value = self.content[self.at : self.at + length].decode("utf-8", errors="replace")
        self.at += length
        return value

    def value(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            if kind not in _SCALARS:
                raise IndexError(f"unknown value type {kind} for '{key}'")
            return self.number(_SCALARS[kind])
        inner, count = self.number("<I"), self.number("<Q")
        self.lengths[key] = count
        if inner == _STRING:
            self.skip_texts(count)
            return None
        if inner not in _SCALARS:
            raise IndexError(f"unknown array type {inner} for '{key}'")
        width = struct.calcsize(_SCALARS[inner])
        if count * width > len(self.content) - self.at:
            raise IndexError(f"an array of {count} values at byte {self.at}")
        # Short arrays hold sizes for each block; long ones are token scores and types.
        values = [self.number(_SCALARS[inner]) for _ in range(count)] if count <= 1024 else None
        if values is None:
            self.at += count * width
        return values

    def skip_texts(self, count: int) -> None:
        if count > GGUF_TEXTS:
            raise IndexError(f"an array of {count:,} texts")
        unpack, content, at = struct.Struct("<Q").unpack_from, self.content, self.at
        for _ in range(count):
            at += 8 + unpack(content, at)[0]
            if at > len(content):
                raise IndexError("a text that is longer than the file")
        self.at = at


def _config(header: GgufHeader, architecture: str) -> dict[str, Any]:
    """The config.json that this file stands for, as far as its metadata goes."""
    read = {key.removeprefix(f"{architecture}."): value for key, value in header.metadata.items()}
    embedding = header.tensors.get("token_embd.weight", ((0, 0), 0))[0]
    names = {
        "hidden_size": "embedding_length",
        "num_hidden_layers": "block_count",
        "intermediate_size": "feed_forward_length",
        "num_attention_heads": "attention.head_count",
        "num_key_value_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
        "max_position_embeddings": "context_length",
        "sliding_window": "attention.sliding_window",
        "num_experts": "expert_count",
        "num_local_experts": "expert_count",
        "num_experts_per_tok": "expert_used_count",
        "moe_intermediate_size": "expert_feed_forward_length",
        "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
        "kv_lora_rank": "attention.kv_lora_rank",
        "q_lora_rank": "attention.q_lora_rank",
    }
    config = {key: _one(read.get(name)) for key, name in names.items() if read.get(name) is not None}
    if "head_dim" not in config and architecture == "llama":
        config |= {"head_dim": read["rope.dimension_count"]} if read.get("rope.dimension_count") else {}
    config["model_type"] = _FAMILIES.get(architecture, architecture)
    if architecture == "llama" and config.get("num_local_experts"):
        config["model_type"] = "mixtral"
    config["vocab_size"] = embedding[1] if len(embedding) > 1 else header.array_lengths.get("tokenizer.ggml.tokens")
    config["tie_word_embeddings"] = "output.weight" not in header.tensors
    config["attention_bias"] = "blk.0.attn_q.bias" in header.tensors
    config["mlp_bias"] = "blk.0.ffn_up.bias" in header.tensors
    return config


def _one(value: Any) -> Any:
    """A size that is given for each block, when it is the same in all of them."""
    if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
        return max(value)
    return value


def _notes(header: GgufHeader, architecture: str, spec: ModelSpec) -> list[str]:
    notes = []
    stored = header.num_params - _rope_factors(header)
    if stored != spec.num_params and spec.known:
        notes.append(
            tr(
                "the file holds {stored:,} weights, its metadata describes {num_params:,} parameters",
                stored=stored,
                num_params=spec.num_params,
            )
        )
    if architecture not in _LOADABLE:
        notes.append(
            tr(
                "transformers cannot load GGUF files of the architecture '{architecture}'; train from safetensors",
                architecture=architecture,
            )
        )
    return notes


def _rope_factors(header: GgufHeader) -> int:
    """Elements of the rotary tables, which are not parameters."""
    return sum(dims[0] for name, (dims, _) in header.tensors.items() if name.startswith("rope_"))


def _broken(path: Path, how: str) -> InputError:
    fix = tr("Download the file again, or give a model folder or a catalogue name (--model Llama-3.1-8B).")
    return InputError(
        Problem(what=f"{path} {how}", why=tr("The model's shape is read from it."), fix=fix, where="--model")
    )
