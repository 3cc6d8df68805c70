"""Names as people type them: each leads to one model, said what it was taken for, or to a refusal that helps."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advisor.base.errors import AdvisorError, InputError
from advisor.model import resolve_model
from advisor.model.catalog import catalog_names, entries, find, from_catalog
from advisor.model.catalog.names import MIRRORS, read_name
from advisor.model.catalog.near import closed_model, near_names
from advisor.model.use import refusal_by_name

COPIES = Path(__file__).parents[1] / "fixtures" / "models" / "copies.csv"
"""Copies and short names of 181 models as they are published and typed, with the count of what they are copies of."""

LLAMA = "meta-llama/Llama-3.1-8B"
TYPED = [
    # Blanks, case, signs
    ("llama 3.1 8b", LLAMA, "none"),
    ("LLAMA 3.1 8B", LLAMA, "none"),
    ("Llama-3.1-8b", LLAMA, "none"),
    ("llama_3.1_8b", LLAMA, "none"),
    ("llama 3.1 8 billion", LLAMA, "none"),
    ("meta llama 3.1 8b", LLAMA, "none"),
    ("  Llama-3.1-8B  ", LLAMA, "none"),
    ("'Qwen/Qwen3-8B'", "Qwen/Qwen3-8B", "none"),
    ("Qwen 3 8B", "Qwen/Qwen3-8B", "none"),
    ("qwen3 8b", "Qwen/Qwen3-8B", "none"),
    ("qwen/qwen3-8b", "Qwen/Qwen3-8B", "none"),
    ("qwen2-5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct", "none"),
    ("google gemma 3 4b", "google/gemma-3-4b-it", "none"),
    ("gemma 2b", "google/gemma-2b", "none"),
    ("mistral 7b", "mistralai/Mistral-7B-v0.3", "none"),
    ("mixtral 8x7b", "mistralai/Mixtral-8x7B-v0.1", "none"),
    ("phi 4", "microsoft/phi-4", "none"),
    ("CodeLlama 7b", "codellama/CodeLlama-7b-hf", "none"),
    ("yi 34b", "01-ai/Yi-34B", "none"),
    ("kimi k2", "moonshotai/Kimi-K2-Instruct", "fp8"),
    ("glm 4.5 air", "zai-org/GLM-4.5-Air", "none"),
    ("olmo 2 7b", "allenai/OLMo-2-1124-7B", "none"),
    ("falcon 7b", "tiiuae/falcon-7b", "none"),
    ("DeepSeek R1 Distill Qwen 7B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "none"),
    ("command r7b", "CohereLabs/c4ai-command-r7b-12-2024", "none"),
    ("nemotron nano 9b v2", "nvidia/NVIDIA-Nemotron-Nano-9B-v2", "none"),
    ("Mistral Small 3.2", "mistralai/Mistral-Small-3.2-24B-Instruct-2506", "none"),
    ("exaone 4.0 32b", "LGAI-EXAONE/EXAONE-4.0-32B", "none"),
    ("llava 1.5 7b", "llava-hf/llava-1.5-7b-hf", "none"),
    # Endings for chat and base
    ("Llama-3.1-8B-Instruct", f"{LLAMA}-Instruct", "none"),
    ("Llama 3.1 8B Instruct", f"{LLAMA}-Instruct", "none"),
    ("Qwen3-8B-Instruct", "Qwen/Qwen3-8B", "none"),
    ("Qwen3-4B-Thinking-2507", "Qwen/Qwen3-4B-Thinking-2507", "none"),
    ("gemma-2b-it", "google/gemma-2b-it", "none"),
    ("gemma-3-12b-it", "google/gemma-3-12b-it", "none"),
    ("gemma-3-27b", "google/gemma-3-27b-it", "none"),
    ("tinyllama-1.1b-chat", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "none"),
    ("Phi-3.5-mini", "microsoft/Phi-3.5-mini-instruct", "none"),
    ("vicuna-7b", "lmsys/vicuna-7b-v1.5", "none"),
    ("Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-Instruct-v0.3", "none"),
    ("zephyr", "HuggingFaceH4/zephyr-7b-beta", "none"),
    ("magistral", "mistralai/Magistral-Small-2506", "none"),
    ("qwen2.5-vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct", "none"),
    # Mirrors
    ("unsloth/Meta-Llama-3.1-8B", "unsloth/Meta-Llama-3.1-8B", "none"),
    ("unsloth/Qwen3-14B", "unsloth/Qwen3-14B", "none"),
    ("NousResearch/Meta-Llama-3.1-8B-Instruct", "NousResearch/Meta-Llama-3.1-8B-Instruct", "none"),
    ("unsloth/gemma-3-4b-it", "unsloth/gemma-3-4b-it", "none"),
    ("CohereForAI/c4ai-command-r-v01", "CohereForAI/c4ai-command-r-v01", "none"),
    ("THUDM/GLM-4-32B-0414", "THUDM/GLM-4-32B-0414", "none"),
    # Quantised copies
    ("unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "nf4"),
    ("unsloth/Qwen3-14B-unsloth-bnb-4bit", "unsloth/Qwen3-14B-unsloth-bnb-4bit", "nf4"),
    ("unsloth/Qwen2.5-Coder-7B-Instruct-bnb-4bit", "unsloth/Qwen2.5-Coder-7B-Instruct-bnb-4bit", "nf4"),
    ("unsloth/gpt-oss-20b-unsloth-bnb-4bit", "unsloth/gpt-oss-20b-unsloth-bnb-4bit", "nf4"),
    ("Qwen/Qwen3-8B-AWQ", "Qwen/Qwen3-8B-AWQ", "int4"),
    ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-8B-FP8", "fp8"),
    ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "int4"),
    ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "int8"),
    (
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        "int4",
    ),
    ("RedHatAI/Qwen3.5-9B-quantized.w4a16", "RedHatAI/Qwen3.5-9B-quantized.w4a16", "int4"),
    ("RedHatAI/Qwen3.5-9B-FP8-dynamic", "RedHatAI/Qwen3.5-9B-FP8-dynamic", "fp8"),
    ("TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", "int4"),
    ("TheBloke/Mistral-7B-v0.1-AWQ", "TheBloke/Mistral-7B-v0.1-AWQ", "int4"),
    ("TheBloke/Llama-2-70B-GPTQ", "TheBloke/Llama-2-70B-GPTQ", "int4"),
    ("unsloth/tinyllama-bnb-4bit", "unsloth/tinyllama-bnb-4bit", "nf4"),
    ("qwen3-8b-awq", "Qwen/Qwen3-8B", "none"),
    # Copies that only run: the model itself is what would be trained
    ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", f"{LLAMA}-Instruct", "none"),
    ("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", "meta-llama/Llama-3.2-3B-Instruct", "none"),
    ("mlx-community/Qwen3-4B-Instruct-2507-4bit", "Qwen/Qwen3-4B-Instruct-2507", "none"),
    ("lmstudio-community/Qwen3-4B-Instruct-2507-MLX-8bit", "Qwen/Qwen3-4B-Instruct-2507", "none"),
    ("TheBloke/phi-2-GGUF", "microsoft/phi-2", "none"),
    # Ollama
    ("llama3.1:8b", LLAMA, "none"),
    ("ollama run llama3.1:8b", LLAMA, "none"),
    ("llama3.1:8b-instruct-q4_K_M", f"{LLAMA}-Instruct", "none"),
    ("llama3.1:latest", LLAMA, "none"),
    ("llama3", "meta-llama/Meta-Llama-3-8B", "none"),
    ("llama3.2:1b", "meta-llama/Llama-3.2-1B", "none"),
    ("llama2:13b", "meta-llama/Llama-2-13b-hf", "none"),
    ("qwen3:30b-a3b", "Qwen/Qwen3-30B-A3B", "none"),
    ("qwen3:30b", "Qwen/Qwen3-30B-A3B-Instruct-2507", "none"),
    ("qwen2.5:0.5b", "Qwen/Qwen2.5-0.5B", "none"),
    ("qwen2.5-coder:7b", "Qwen/Qwen2.5-Coder-7B", "none"),
    ("gemma3:27b", "google/gemma-3-27b-it", "none"),
    ("gemma4:26b", "google/gemma-4-26B-A4B-it", "none"),
    ("mistral", "mistralai/Mistral-7B-v0.3", "none"),
    ("mixtral:8x22b", "mistralai/Mixtral-8x22B-v0.1", "none"),
    ("phi3:mini", "microsoft/Phi-3-mini-4k-instruct", "none"),
    ("phi4", "microsoft/phi-4", "none"),
    ("deepseek-r1:8b", "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "none"),
    ("deepseek-r1:70b", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "none"),
    ("gpt-oss:20b", "openai/gpt-oss-20b", "none"),
    ("smollm2:1.7b", "HuggingFaceTB/SmolLM2-1.7B", "none"),
    ("codellama:7b-instruct", "codellama/CodeLlama-7b-Instruct-hf", "none"),
    ("starcoder2:15b", "bigcode/starcoder2-15b", "none"),
    ("command-r", "CohereLabs/c4ai-command-r-v01", "none"),
    # Links and folders
    ("https://huggingface.co/Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "none"),
    ("https://huggingface.co/Qwen/Qwen3-8B/tree/main", "Qwen/Qwen3-8B", "none"),
    ("https://huggingface.co/unsloth/Qwen3-14B-bnb-4bit?library=transformers", "unsloth/Qwen3-14B-bnb-4bit", "nf4"),
    ("huggingface.co/google/gemma-3-4b-it", "google/gemma-3-4b-it", "none"),
    ("hf://Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "none"),
    ("https://ollama.com/library/qwen3:8b", "Qwen/Qwen3-8B", "none"),
    ("/home/me/.cache/huggingface/hub/models--Qwen--Qwen3-8B/snapshots/abc", "Qwen/Qwen3-8B", "none"),
    ("/data/models/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "none"),
    ("bartowski/Qwen_Qwen3-14B-GGUF", "Qwen/Qwen3-14B", "none"),
    (
        "hf.co/unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF:UD-Q4_K_XL",
        "Qwen/Qwen3-Coder-30B-A3B-Instruct",
        "none",
    ),
    ("nvidia/Llama-3.3-70B-Instruct-FP4", "nvidia/Llama-3.3-70B-Instruct-FP4", "nvfp4"),
    # Models of 2026
    ("qwen3.5:4b", "Qwen/Qwen3.5-4B", "none"),
    ("gemma4:e4b", "google/gemma-4-E4B", "none"),
    ("kimi k2.5", "moonshotai/Kimi-K2.5", "int4"),
    ("Qwen3.8-27B", "Qwen/Qwen3.8-27B", "none"),
    ("GLM-5.3", "zai-org/GLM-5.3", "none"),
    ("gemma4:12b", "google/gemma-4-12B", "none"),
    # The maker's own format beside the one that transformers loads
    ("mistralai/Pixtral-12B-2409", "mistral-community/pixtral-12b", "none"),
    ("OpenGVLab/InternVL3_5-8B", "OpenGVLab/InternVL3_5-8B-HF", "none"),
    ("meta-llama/Llama-2-7b-chat", "meta-llama/Llama-2-7b-chat-hf", "none"),
    # Sisters of well-known models
    ("gpt2", "openai-community/gpt2", "none"),
    ("gpt-j-6b", "EleutherAI/gpt-j-6b", "none"),
    ("openai/gpt-oss-120b", "openai/gpt-oss-120b", "none"),
    ("hermes-3-llama-3.1-8b", "NousResearch/Hermes-3-Llama-3.1-8B", "none"),
    ("deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3", "fp8"),
]
CLOSED = [
    *(
        "gpt-4",
        "gpt-4o",
        "gpt-4o-mini",
        "gpt4",
        "GPT 5",
        "gpt-3.5-turbo",
        "o3",
        "o4-mini",
        "chatgpt",
        "openai/gpt-4.1",
    ),
    *("claude", "claude-3-5-sonnet-20241022", "claude sonnet 4.5", "anthropic/claude-opus-4", "gemini-2.5-pro"),
    *("gemini 1.5 flash", "google/gemini-pro", "grok-4", "qwen-max", "deepseek-chat", "mistral-large-latest"),
    *("nova-pro", "moonshot-v1-8k", "doubao-pro"),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize(("text", "path", "stored"), TYPED, ids=[row[0] for row in TYPED])
def test_a_typed_name_leads_to_the_model_that_is_meant(text: str, path: str, stored: str) -> None:
    spec = resolve_model(text)
    assert (spec.path, spec.native_quant) == (path, stored)
    if text.strip().lower() not in (path.lower(), path.rpartition("/")[2].lower()) or path not in hubs():
        assert "taken" in spec.notes[0], "what it was taken for has to be said"


def hubs() -> set[str]:
    return {hub for entry in entries().values() for hub in (entry.hub, *entry.names, *entry.quantized_names)}


def test_there_are_more_than_a_hundred_and_ten_of_them() -> None:
    assert len({row[0] for row in TYPED} | set(CLOSED)) >= 130


def test_published_copies_lead_to_the_shape_that_they_are_copies_of() -> None:
    with COPIES.open() as file:
        rows = [(row["name"], int(row["params"])) for row in csv.DictReader(file)]
    wrong = [name for name, params in rows if (found := find(name)) is None or entries()[found.slug].params != params]
    assert wrong == []
    assert len(rows) > 1000


@pytest.mark.parametrize("text", CLOSED)
def test_a_closed_model_is_said_to_be_closed_and_open_ones_named(text: str) -> None:
    with pytest.raises(InputError, match="closed model") as refused:
        resolve_model(text)
    named = refused.value.problems[0].fix.rpartition(": ")[2].rstrip(".").split(", ")
    assert len(named) == 3
    assert all(resolve_model(name).known for name in named)


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("Qwen2.5-Omni-7B", "images or sound"),
        ("google/gemma-3n-E2B-it", "images or sound"),
        ("deepseek-ai/DeepSeek-OCR", "program code"),
        ("OpenGVLab/InternVL2-26B", "program code"),
        ("facebook/sam2-hiera-large", "not a language model"),
        ("Wan2.2-T2V-A14B", "not a language model"),
        ("distil-whisper/distil-large-v3", "speech"),
        ("nomic-ai/nomic-embed-text-v1.5", "encoder"),
    ],
)
def test_a_name_that_tells_of_another_use_is_refused_by_it(text: str, use: str) -> None:
    with pytest.raises(InputError) as refused:
        resolve_model(text)
    assert use in refused.value.problems[0].why


@pytest.mark.parametrize("text", ["OpenGVLab/InternVL3-38B-hf", "allenai/Molmo2-8B", "someone/llama-3-8b-clippy"])
def test_a_name_that_only_looks_like_one_is_not_refused_by_it(text: str) -> None:
    assert refusal_by_name(text) is None


def test_no_open_model_is_called_closed() -> None:
    assert [hub for hub in hubs() if closed_model(hub) or closed_model(hub.rpartition("/")[2])] == []
    assert not any(map(closed_model, ("Helsinki-NLP/opus-mt-en-de", "Mistral-Medium-3.5-128B", "reka-edge-2603")))


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("Lama-3.1-8", "Llama-3.1-8B"),
        ("Qwen9-8B", "Qwen3-8B"),
        ("llama 7b", "Llama-2-7b-hf"),
        ("mistrl 7b", "Mistral-7B-v0.3"),
        ("gemma-5-4b", "gemma-3-4b-it"),
        ("wizardlm-13b", "Llama-2-13b-hf"),
    ],
)
def test_an_unknown_name_is_answered_with_the_family_and_the_size(text: str, near: str) -> None:
    with pytest.raises(AdvisorError) as refused:
        resolve_model(text)
    assert near in refused.value.problems[0].fix


def test_near_names_are_not_in_the_order_of_the_alphabet() -> None:
    names = near_names("llama-9b", 8)
    assert names != sorted(names) and all("lama" in name.lower() or "Llama" in name for name in names)


def test_nothing_is_offered_for_words_that_name_no_model() -> None:
    assert near_names("no such thing at all") == []


def test_another_owners_copy_is_taken_for_the_model_where_the_hub_cannot_be_asked() -> None:
    spec = resolve_model("someone/Qwen3-8B")
    assert spec.path == "someone/Qwen3-8B"
    assert any("may be quantised" in note for note in spec.notes)
    with pytest.raises(AdvisorError):
        resolve_model("someone/Qwen3-8B-abliterated")


def test_a_copys_own_config_is_read_where_the_cache_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "models--unsloth--Qwen3-8B"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    config = bytes(entries()["qwen3-4b"].config).decode()
    (folder / "snapshots" / "abc" / "config.json").write_text(config)
    assert resolve_model("unsloth/Qwen3-8B").num_params == entries()["qwen3-4b"].params


def test_a_folder_that_is_not_here_is_told_so() -> None:
    assert "there is no folder" in resolve_model("/data/models/Qwen2.5-7B-Instruct").notes[0]
    with pytest.raises(InputError, match="there is no folder or file"):
        resolve_model("/data/models/my-qwen")


def test_mirrors_are_written_in_small_letters() -> None:
    assert {owner.lower() for owner in MIRRORS} == set(MIRRORS)


def test_every_name_of_the_catalogue_is_its_own() -> None:
    for name in catalog_names():
        spec = from_catalog(name)
        assert spec is not None and spec.name == name and not any("taken" in note for note in spec.notes)


@pytest.mark.parametrize(
    "text", ["", "/", "//", ":", "a/", "/b", "models--", "https://huggingface.co/", "-4bit", "\x00"]
)
def test_remains_of_names_are_read_without_a_fault(text: str) -> None:
    assert read_name(text).owner == read_name(text).owner.lower()
    with pytest.raises(AdvisorError):
        resolve_model(text)
