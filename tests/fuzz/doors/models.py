"""Doors of a model folder: configs, weights, tokenizer, chat template, adapter."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.doors.base import ADVISE, FIXTURES, Commands, Door, as_json, of_text, of_tree, tree_or_bytes
from tests.fuzz.doors.data import CALLS, ROWS

TEMPLATES = FIXTURES / "templates"
CONFIG: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 96, "head_dim": 16,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "layer_types": ["full_attention", "sliding_attention"],
    "sliding_window": 128, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
}  # fmt: skip
FAMILIES = (
    "llama", "qwen2", "qwen3_moe", "gemma3_text", "gemma3n_text", "gpt2", "mamba", "deepseek_v3", "bert", "mixtral",
    "phi3", "falcon", "nemotron_h", "lfm2", "t5", "none-such",
)  # fmt: skip
PLAIN = {name: CONFIG[name] for name in list(CONFIG)[:9]}
SETTINGS: dict[str, Any] = {
    "eos_token": "</s>", "bos_token": {"content": "<s>"}, "model_max_length": 512, "tokenizer_class": "X",
    "added_tokens_decoder": {"1": {"content": "</s>", "special": True}}, "additional_special_tokens": ["<a>"],
    "chat_template": [{"name": "default", "template": "{% for m in messages %}{{ m.content }}</s>{% endfor %}"}],
}  # fmt: skip
ENDS: dict[str, Any] = {"eos_token_id": [1, 2], "temperature": 0.5, "max_new_tokens": 20}
ADAPTER: dict[str, Any] = {
    "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/base", "rank_pattern": {"a": 2}, "modules_to_save": None, "use_dora": False,
}  # fmt: skip
INDEX: dict[str, Any] = {
    "metadata": {"total_size": 64, "total_parameters": 32},
    "weight_map": {
        "model.embed_tokens.weight": "model-00001-of-00002.safetensors",
        "lm_head.weight": "b.safetensors",
    },
}
CARD = (
    """---
license: apache-2.0
base_model: org/base
tags: [a, "b"]
language:
  - en
---
# A model
Trained on <b>nothing</b>.
""",
    "---\nlicense: other\nlicense_name: mine\nextra_gated_prompt: >-\n  No commercial use.\n---\n",
)
TOKENIZER: dict[str, Any] = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": {"type": "Lowercase"},
    "added_tokens": [{"id": 1, "content": "</s>", "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True}],
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Removed", "invert": False},
    "post_processor": None, "decoder": {"type": "ByteFallback"},
    "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
              "vocab": {"<unk>": 0, "</s>": 1, "i": 2, "t": 3, "it": 4}, "merges": [["i", "t"]]},
}  # fmt: skip


def _model(folder: Path, config: bytes | None = None) -> Path:
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_bytes(as_json(PLAIN) if config is None else config)
    return model


def _vetted(folder: Path, content: bytes, name: str) -> Commands:
    model = _model(folder)
    (model / name).write_bytes(content)
    return [[*ADVISE, str(model)], ["vet", str(model)]]


def _pieces() -> bytes:
    """A tokenizer.model as SentencePiece writes it: pieces with a score and a kind each."""
    pieces = b""
    for kind, piece in ((2, "<unk>"), (3, "</s>"), (1, "\u2581it")):
        text = piece.encode()
        held = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -1.0) + b"\x18" + bytes([kind])
        pieces += b"\x0a" + bytes([len(held)]) + held
    return pieces


def _feed_pieces(folder: Path, content: bytes) -> Commands:
    commands = _vetted(folder, content, "tokenizer.model")
    (folder / "model" / "tokenizer_config.json").write_bytes(as_json(SETTINGS))
    return commands


def _config(rng: random.Random) -> bytes:
    return tree_or_bytes(rng, {**CONFIG, "model_type": rng.choice(FAMILIES)})


def _feed_config(folder: Path, content: bytes) -> Commands:
    return [[*ADVISE, str(_model(folder, content))], ["vet", str(folder / "model")]]


HEADER: dict[str, Any] = {
    "__metadata__": {"format": "pt"},
    "model.embed_tokens.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]},
    "lm_head.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [32, 64]},
}


def _weights(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(64)


def _safetensors(rng: random.Random) -> bytes:
    whole = _weights(tree_or_bytes(rng, HEADER))
    return mutate.raw(rng, whole) if rng.random() < 0.3 else whole


GGUF_NUMBERS = {
    "embedding_length": 64, "block_count": 2, "feed_forward_length": 128, "attention.head_count": 4,
    "attention.head_count_kv": 2, "context_length": 512, "expert_count": 4, "expert_used_count": 2,
}  # fmt: skip


def _gguf_text(value: str) -> bytes:
    encoded = value.encode("utf-8", "replace")
    return struct.pack("<Q", len(encoded)) + encoded


def _gguf_file(family: str, numbers: dict[str, int]) -> bytes:
    pairs = [_gguf_text("general.architecture") + struct.pack("<I", 8) + _gguf_text(family)]
    for key, number in numbers.items():
        pairs.append(_gguf_text(f"{family}.{key}") + struct.pack("<IQ", 10, number))
    tokens = b"".join(map(_gguf_text, ("a", "b", "c")))
    pairs.append(_gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + tokens)
    tensor = _gguf_text("token_embd.weight") + struct.pack("<IQQIQ", 2, 64, 96, 1, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor


def _gguf(rng: random.Random) -> bytes:
    numbers = dict(GGUF_NUMBERS)
    if rng.random() < 0.6:
        numbers[rng.choice(list(numbers))] = rng.choice([one for one in mutate.INTEGERS if 0 <= one < 2**64])
    whole = _gguf_file(rng.choice(("llama", "qwen2", "gemma3", "qwen3moe", "\x1b[31m", "none")), numbers)
    return mutate.raw(rng, whole) if rng.random() < 0.7 else whole


def _feed_gguf(folder: Path, content: bytes) -> Commands:
    (folder / "x.gguf").write_bytes(content)
    return [[*ADVISE, str(folder / "x.gguf")], ["vet", str(folder / "x.gguf")]]


def _template(rng: random.Random) -> bytes:
    source = rng.choice(sorted(TEMPLATES.glob("*.jinja"))).read_text(encoding="utf-8")
    return mutate.text(rng, source).encode("utf-8", "replace")


def _with_data(folder: Path, **files: bytes) -> Commands:
    """A model whose tokenizer and template read a dataset."""
    model = _model(folder)
    for name, content in {"tokenizer.json": as_json(TOKENIZER), "tokenizer_config.json": as_json(SETTINGS)}.items():
        (model / name).write_bytes(files.pop(name, content))
    for name, content in files.items():
        (model / name).write_bytes(content)
    data = folder / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, ROWS)))
    check = ["data", "check", str(data), "--model", str(model)]
    return [check, ["vet", str(model)]]


def _feed_template(folder: Path, content: bytes) -> Commands:
    commands = _with_data(folder, **{"chat_template.jinja": content})
    calls = folder / "calls.jsonl"
    calls.write_text("\n".join(map(json.dumps, [*ROWS, CALLS])))
    return [[*ADVISE, str(folder / "model"), "--dataset", str(calls)], *commands]


DOORS = {
    "config": Door(lambda: as_json(PLAIN), _config, _feed_config),
    "safetensors": Door(
        lambda: _weights(as_json(HEADER)),
        _safetensors,
        lambda folder, content: _vetted(folder, content, "model.safetensors"),
    ),
    "gguf": Door(lambda: _gguf_file("qwen3moe", GGUF_NUMBERS), _gguf, _feed_gguf),
    "template": Door((TEMPLATES / "zephyr.jinja").read_bytes, _template, _feed_template),
    "tokenizer": of_tree(TOKENIZER, lambda folder, content: _with_data(folder, **{"tokenizer.json": content})),
    "tokensettings": of_tree(
        SETTINGS, lambda folder, content: _with_data(folder, **{"tokenizer_config.json": content})
    ),
    "generation": of_tree(ENDS, lambda folder, content: _with_data(folder, **{"generation_config.json": content})),
    "index": of_tree(INDEX, lambda folder, content: _vetted(folder, content, "model.safetensors.index.json")),
    "card": of_text(CARD, lambda folder, content: _vetted(folder, content, "README.md")),
    "pieces": Door(_pieces, lambda rng: mutate.raw(rng, _pieces()), _feed_pieces),
    "adapter": of_tree(ADAPTER, lambda folder, content: _vetted(folder, content, "adapter_config.json")),
}
