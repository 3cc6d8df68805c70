"""How the benchmark reads other methods than full fine-tuning and LoRA: forms, parts, projected gradients."""

from __future__ import annotations

import pytest

from advisor.estimate.trained import part_values
from tests.benchmarks.memory_accuracy import predict
from tests.benchmarks.published import express
from tests.estimate.test_published import ROW


@pytest.fixture(autouse=True)
def _without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the benchmark sets it for its own process, which here is that of all tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def row(**changes: str) -> dict[str, str]:
    return ROW | changes


PEFT_ROW = {
    "id": "peft-mm-107",
    "framework": "peft+transformers (own loop)",
    "model": "meta-llama/Llama-3.2-3B",
    "params_b": "3.213",
    "base_dtype": "bf16",
    "training_precision": "pure_bf16",
    "seq_len": "768",
    "seq_is_padded_max": "no",
    "grad_ckpt": "no",
    "lora_r": "32",
    "lora_targets": "q_proj+v_proj",
    "attention": "sdpa",
    "fused_ce": "no",
    "gpu": "L40S-48GB",
    "what_is_reported": "max_reserved",
    "source": "huggingface/peft:method_comparison/MetaMathQA/results/vera--llama-3.2-3B-default.json@51c2ff",
    "note": "bytes=21622685696; trainable params=129024; generation eval (batch_size_eval 50); samples <=1300 chars",
}


@pytest.mark.parametrize(
    ("method", "changes", "form", "fields"),
    [
        ("vera", {}, "vera", {"lora_rank": 32}),
        ("lora-fa", {"optimizer": "lorafa_adamw"}, "lora_fa", {"lora_targets": ("q_proj", "v_proj")}),
        ("bone", {"source": "huggingface/peft:results/bone--llama-3.2-3B-bat.json@a99"}, "miss_bat", {}),
        ("ia3", {"lora_r": "na", "lora_targets": "down_proj+k_proj+v_proj"}, "ia3", {}),
        ("ln_tuning", {"lora_targets": "input_layernorm+norm"}, "ln_tuning", {"lora_targets": ("no linear",)}),
        ("prompt_tuning", {"note": "trainable params=614400;"}, "tokens", {"num_virtual_tokens": 200}),
        ("trainable_tokens", {"note": "trainable params=6144;"}, "tokens", {"trainable_token_indices": (0, 1)}),
    ],
)
def test_a_method_of_peft_is_a_form(method, changes, form, fields):
    run = express(row(**PEFT_ROW | {"method": method} | changes))
    assert run.stack.form == form
    assert all(getattr(run.plan, name) == value for name, value in fields.items())


def test_forms_that_nothing_was_fitted_to_are_within_ten_percent():
    """VeRA, (IA)3 and prompt tuning of peft's comparison: 20.1, 21.6 and 22.7 GiB reserved."""
    rows = (
        {"method": "vera", "lora_r": "256", "note": "bytes=21622685696; samples <=1300 chars"},
        {
            "method": "ia3",
            "lora_targets": "down_proj+k_proj+v_proj",
            "note": "bytes=23241687040; samples <=1300 chars",
        },
        {"method": "prompt_tuning", "note": "bytes=24394072064; trainable params=614400; samples <=1300 chars"},
    )
    assert all(abs(predict(express(row(**PEFT_ROW | changes))).error) < 0.1 for changes in rows)


SWIFT_FULL = {"method": "full (galore)", "lora_r": "na", "lora_targets": "na", "base_dtype": "bf16"} | {
    "framework": "ms-swift (HF Trainer)",
    "model": "Qwen/Qwen-7B-Chat",
    "params_b": "7.721",
    "training_precision": "mixed_bf16",
    "fused_ce": "no",
}


def test_projected_gradients_are_read_with_their_rank():
    """swift-tun-004, swift-tun-007 and swift-tun-009."""
    notes = (
        "galore_rank=128/galore_per_parameter=false/galore_with_embedding=false",
        "galore_rank=128/galore_per_parameter=false/galore_with_embedding=true",
        "exp full+galore128+quantize+proj_quant; galore_rank=128/galore_with_embedding=false",
    )
    plain, outer, packed = (
        express(row(**SWIFT_FULL, optimizer="galore_adamw", note=note)).stack.low_rank for note in notes
    )
    assert plain is not None and outer is not None and packed is not None
    assert (plain.rank, plain.outer, plain.state_bytes) == (128, False, None)
    assert outer.outer
    assert packed.state_bytes == pytest.approx(1.016, abs=0.001)


@pytest.mark.parametrize(
    ("changes", "blocks", "outer"),
    [
        ({"method": "full (lisa)", "note": "lisa_activated_layers=2/lisa_step_interval=20"}, 2, True),
        ({"method": "freeze (4 layers)", "note": ""}, 4, False),
        ({"method": "full (badam)", "note": ""}, 1, False),
        ({"method": "llamapro", "note": "exp llamapro; num_blocks=4; trainable 809.5826(9.4900%)M"}, 4, False),
    ],
)
def test_a_part_that_trains_is_read(changes, blocks, outer):
    run = express(row(**SWIFT_FULL | changes))
    assert run.stack.part is not None
    assert (run.stack.part.blocks, run.stack.part.outer) == (blocks, outer)
    assert run.model.num_hidden_layers == (36 if changes["method"] == "llamapro" else 32)


def test_llama_pro_trains_as_many_values_as_its_row_states():
    run = express(row(**SWIFT_FULL | {"method": "llamapro", "note": "num_blocks=4; trainable 809.5826(9.4900%)M"}))
    assert run.stack.part is not None
    assert part_values(run.model, run.stack.part) == pytest.approx(809_582_600, rel=1e-4)


def test_a_bottleneck_is_as_wide_as_its_trained_values_say():
    """swift-tun-002: 33.6896 million."""
    run = express(row(**SWIFT_FULL | {"method": "adapter", "note": "exp adapter; trainable 33.6896(0.4344%)M"}))
    assert run.plan.adapter_bottleneck == 64


def test_prefixes_of_chatglm_are_made_by_two_linears():
    """liu-009: 43 GB for 16 virtual tokens, because a projection trains beside them."""
    glm = {"framework": "DeepSpeed train.py", "model": "THUDM/chatglm-6b", "params_b": "6.173", "base_dtype": "fp16"}
    run = express(
        row(**glm, method="ptuning", fused_ce="no", note="prefix length 16 with projection", sharding="zero2")
    )
    assert (run.plan.method, run.plan.num_virtual_tokens, run.stack.form) == ("prefix", 16, "projected_prefix")
    assert run.plan.gradient_checkpointing
