"""A tiny random Llama with a small tokenizer trained on the spot, and real conversations to train it on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainers import warm
from trainers.supervision import child

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def conversations() -> list[list[dict[str, str]]]:
    """The English conversations of chatterbot-corpus as messages."""
    import chatterbot_corpus
    import yaml

    found = []
    for file in sorted((Path(chatterbot_corpus.__file__).parent / "data" / "english").glob("*.yml")):
        for turns in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            texts = [turn for turn in turns if isinstance(turn, str) and turn.strip()]
            texts = texts[: len(texts) // 2 * 2]
            roles = ("user", "assistant")
            if texts:
                found.append([{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)])
    return found


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 real conversations as JSON lines."""
    path = tmp_path_factory.mktemp("data") / "chats.jsonl"
    path.write_text(
        "".join(json.dumps({"messages": chat}) + "\n" for chat in conversations()[:200]), encoding="utf-8"
    )
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer Llama with a 600-token tokenizer and a ChatML template without markers."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    build_tiny_model(folder)
    return folder


def build_tiny_model(folder: Path) -> None:
    """Train a small tokenizer on real conversations and save a random model for it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator((turn["content"] for chat in conversations() for turn in chat), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(str(folder))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=fast.eos_token_id,
        pad_token_id=None,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))


def generates_plainly(result: Path, base: Path, tokens: int = 4) -> bool:
    """Whether what was saved answers in plain transformers and peft, loaded as its model card says."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if (result / "adapter_config.json").is_file():
        if json.loads((result / "adapter_config.json").read_bytes())["peft_type"] == "BOTTLENECK":
            from trainers.methods import bottleneck

            bottleneck.register()
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(base)), str(result))
    else:
        model = AutoModelForCausalLM.from_pretrained(str(result))
    tokenizer = AutoTokenizer.from_pretrained(str(result))
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    made = model.generate(
        **prompt, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
    )
    return bool(made.shape[1] == prompt["input_ids"].shape[1] + tokens)


@pytest.fixture
def make_plan(tiny_model: Path, chats: Path) -> Callable[..., dict[str, Any]]:
    """A small plan on the tiny model as plain data; keyword arguments replace fields."""

    def build(method: str = "lora", **fields: Any) -> dict[str, Any]:
        plan: dict[str, Any] = {
            "model": {"name": str(tiny_model)},
            "dataset": {"source": str(chats), "eval_fraction": 0.1},
            "method": method,
            "compute_dtype": "fp32",
            "weights_dtype": "fp32",
            "accelerator": "cpu",
            "learning_rate": 5e-3,
            "max_seq_len": 128,
            "micro_batch_size": 4,
            "max_steps": 8,
            "save_steps": 4,
            "eval_steps": 4,
            "gradient_checkpointing": False,
            "lr_scheduler": "constant",
        }
        if method in ("lora", "qlora"):
            plan |= {"lora_rank": 8, "lora_alpha": 16, "lora_targets": ["all-linear"]}
        if method == "qlora":
            plan |= {"quantization": "nf4"}
        if method == "prefix":
            plan |= {"num_virtual_tokens": 8}
        if method == "adapter":
            plan |= {"adapter_bottleneck": 16}
        return {**plan, **fields}

    return build


SET_BY_A_TRAINING = ("CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "ACCELERATE_USE_FSDP", "FSDP_VERSION")


def _given_back() -> Iterator[None]:
    """What a training sets for its own process is put back: here the process is that of all tests."""
    before = {name: os.environ[name] for name in SET_BY_A_TRAINING if name in os.environ}
    logging = sys.modules["transformers"].utils.logging if "transformers" in sys.modules else None
    verbosity, bars = (logging.get_verbosity(), logging.is_progress_bar_enabled()) if logging else (None, True)
    yield
    for name in SET_BY_A_TRAINING:
        os.environ.pop(name, None)
    os.environ |= before
    if logging:
        logging.set_verbosity(verbosity)
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()


given_back = pytest.fixture(_given_back, autouse=True)
given_back_by_a_file = pytest.fixture(_given_back, autouse=True, scope="module")


@pytest.fixture
def warm_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor's training processes start with their libraries loaded, as `tests/trainers/warm.py` tells."""
    monkeypatch.setattr(child, "spawn", warm.spawn)
