"""Whatever a user types for --model: found, or refused with everything that is wrong and what to do."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from advisor.base.errors import InputError, MachineError
from advisor.model import resolve_model
from advisor.model.catalog import catalog_names
from tests.waiting import PATIENCE_SECONDS

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "tie_word_embeddings": False,
}


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """A file with these tensors, all zero."""
    widths = {"BF16": 2, "F32": 4, "U8": 1, "F16": 2}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = widths[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(at))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "path", "params"),
    [
        ("Llama-3.1-8B", "meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("llama3.1:8b", "meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("Llama 3.1 8B Instruct", "meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("qwen2.5_0.5b", "Qwen/Qwen2.5-0.5B", 494_032_768),
        ("gemma-3-4b", "google/gemma-3-4b-it", 4_300_079_472),
        ("Meta-Llama-3-8B", "meta-llama/Meta-Llama-3-8B", 8_030_261_248),
    ],
)
def test_catalogue_names_and_their_loose_forms(text: str, path: str, params: int) -> None:
    spec = resolve_model(text)
    assert (spec.source, spec.path, spec.num_params) == ("catalog", path, params)


def test_every_catalogue_name_resolves_to_itself() -> None:
    for name in catalog_names():
        assert resolve_model(name).name == name


def test_a_quantised_copy_is_told_apart() -> None:
    assert resolve_model("TheBloke/Llama-2-70B-GPTQ").native_quant == "int4"
    assert resolve_model("unsloth/tinyllama-bnb-4bit").native_quant == "nf4"


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        resolve_model("Lama-3.1-8")
    assert "Llama-3.1-8B" in caught.value.problems[0].fix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openai/whisper-large-v3", "speech"),
        ("BAAI/bge-m3", "encoder"),
        ("bert-base-uncased", "encoder"),
        ("Qwen/Qwen3-Embedding-0.6B", "encoder"),
        ("google/byt5-small", "encoder-decoder"),
        ("black-forest-labs/FLUX.1-dev", "not a language model"),
    ],
)
def test_a_name_that_says_what_it_is_for_is_refused_with_the_tool(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as refused:
        resolve_model(text, offline=True)
    assert told in str(refused.value.problems[0].why)
    assert refused.value.problems[0].fix


@pytest.mark.parametrize("text", ["", "   ", "???", "no such thing at all"])
def test_nonsense_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="no model is called"):
        resolve_model(text)


@pytest.mark.parametrize("text", ["/nowhere/model", "./nowhere", "models/mine/final", "missing.gguf"])
def test_missing_paths_are_told_as_paths(text: str) -> None:
    with pytest.raises(InputError, match="there is no folder or file"):
        resolve_model(text)


def test_folder_gives_shape_path_and_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    spec = resolve_model(str(folder))
    assert spec.known
    assert (spec.source, spec.path) == ("folder", str(folder))
    assert spec.tokenizer_path == str(folder / "tokenizer.json")
    assert spec.has_chat_template is True


def test_folder_without_tokenizer_leaves_the_template_unknown(folder: Path) -> None:
    assert resolve_model(str(folder)).has_chat_template is None


def test_base_model_has_no_template(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("{}")
    assert resolve_model(str(folder)).has_chat_template is False


def test_weights_are_read_from_their_headers(folder: Path) -> None:
    size = resolve_model(str(folder)).num_params
    write_safetensors(folder / "model.safetensors", {"all": ("F32", [size])})
    spec = resolve_model(str(folder))
    assert spec.torch_dtype == "float32"
    assert spec.weight_file_bytes == (folder / "model.safetensors").stat().st_size
    assert spec.notes == ()


def test_weights_that_disagree_with_the_config_are_noted(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", {"all": ("BF16", [10])})
    assert "hold 10 elements" in resolve_model(str(folder)).notes[0]


def test_prequantised_weights_are_seen_without_a_config_entry(folder: Path) -> None:
    tensors = {"a.weight": ("U8", [8, 1]), "a.weight.quant_state.bitsandbytes__nf4": ("U8", [4])}
    write_safetensors(folder / "model.safetensors", tensors)
    assert resolve_model(str(folder)).native_quant == "nf4"


def test_a_format_that_modelopt_states_beside_the_config_is_read(folder: Path) -> None:
    (folder / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    assert resolve_model(str(folder)).native_quant == "nvfp4"


def test_real_model_folder(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**{key: value for key, value in TINY.items() if key != "model_type"})
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path)
    spec = resolve_model(str(tmp_path))
    assert spec.num_params == sum(parameter.numel() for parameter in model.parameters())
    assert spec.notes == ()
    assert spec.torch_dtype == "float32"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"model_type": "llama", "hidden', "not valid JSON"),
        (b"[1, 2]", "does not hold a JSON object"),
        (b'{"model_type": "\xff\xfe"}', "not UTF-8"),
        (json.dumps({**TINY, "hidden_size": -32}).encode(), "hidden_size is -32"),
        (json.dumps({**TINY, "vocab_size": "many"}).encode(), "vocab_size is 'many'"),
        (json.dumps({**TINY, "model_type": 7}).encode(), "model_type is 7"),
        (json.dumps({"model_type": "gguf-like"}).encode(), "hidden_size is missing"),
    ],
)
def test_broken_configs_are_named(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        resolve_model(str(folder))


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        resolve_model(str(tmp_path))


def test_a_folder_with_a_broken_adapter_names_the_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Qwen3-8B"}))
    with pytest.raises(InputError) as caught:
        resolve_model(str(tmp_path))
    assert "Qwen/Qwen3-8B" in caught.value.problems[0].fix


def test_config_one_level_deeper_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "config.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        resolve_model(str(tmp_path))
    assert str(tmp_path / "snapshot") in caught.value.problems[0].fix


@pytest.mark.parametrize("cut", [4, 30, 200])
def test_truncated_safetensors(folder: Path, cut: int) -> None:
    write_safetensors(folder / "model.safetensors", {"all": ("BF16", [1000])})
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:cut])
    with pytest.raises(InputError, match="cut short"):
        resolve_model(str(folder))


def test_hub_switched_off_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MachineError) as caught:
        resolve_model("Qwen/Qwen9-8B")
    assert "--model" in caught.value.problems[0].fix
    assert "Qwen3-8B" in caught.value.problems[0].fix


def test_hub_out_of_reach_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import time

    import huggingface_hub

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    # Nothing listens there, so that the test needs no network and asks no real hub.
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda repo, name, **_: f"http://127.0.0.1:9/{repo}/{name}")
    start = time.monotonic()
    with pytest.raises(MachineError, match="cannot read the model"):
        resolve_model("someone/some-model", offline=False)
    assert time.monotonic() - start < PATIENCE_SECONDS, "it went on asking"


def test_cached_hub_config_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--someone--tiny" / "refs").mkdir()
    (tmp_path / "models--someone--tiny" / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text(json.dumps(TINY))
    (snapshot / "tokenizer.json").write_text("{}")
    (snapshot / "tokenizer_config.json").write_text("{}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    spec = resolve_model("someone/tiny", offline=True)
    assert (spec.source, spec.path) == ("hub", "someone/tiny")
    assert spec.tokenizer_path == str(snapshot / "tokenizer.json")
    assert spec.has_chat_template is False
