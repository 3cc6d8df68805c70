"""A small real tokenizer with a ChatML template, and writers for datasets."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest

from advisor.model import resolve_model
from advisor.model.spec import ModelSpec

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 400,
    "max_position_embeddings": 512,
}
PRIVATE_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(b64encode(sha512(bytes([i])).digest()[:48]).decode() for i in range(10))
    + "\n-----END RSA PRIVATE KEY-----"
)
"""The form of a key, of bytes that belong to nobody."""
Rows = Iterable[dict[str, Any] | str]


def save_model(folder: Path, template: str | None = CHATML, **settings: Any) -> Path:
    """A model folder with a byte-level tokenizer trained on a few sentences, and this chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=390, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog", "what is the answer"] * 20, trainer)
    special = ["<|im_start|>", "<|im_end|>", "<pad>"]
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    stated = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<pad>",
        "chat_template": template,
        **settings,
    }
    kept = {key: value for key, value in stated.items() if value is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def model(model_folder: Path) -> ModelSpec:
    return resolve_model(str(model_folder))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes rows (or raw lines) as JSON lines; gives the path."""

    def writer(rows: Rows, name: str = "data.jsonl") -> str:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return writer


def chat(question: str, answer: str, *more: str) -> dict[str, Any]:
    """One conversation row."""
    turns = [question, answer, *more]
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]}


def chats(count: int) -> list[dict[str, Any]]:
    """Different short conversations."""
    return [chat(f"what is number {i}?", f"the answer is {i}, and the fox jumps {i % 7} times") for i in range(count)]
