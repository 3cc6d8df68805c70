from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from trainers.methods.bottleneck import BottleneckConfig, default_targets

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()


def disturb(model: Any) -> None:
    """As if trained: every adapter parameter gets a value."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "bottleneck_" in name:
            parameter.data = torch.randn_like(parameter) * 0.1


def test_a_new_adapter_is_the_identity_and_only_it_trains(tiny_model: Path) -> None:
    base = load(tiny_model)
    before = base(IDS).logits
    model = get_peft_model(base, BottleneckConfig(task_type="CAUSAL_LM", bottleneck=16)).eval()
    assert torch.equal(model(IDS).logits, before)
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    layers, hidden, width = 2, 64, 16
    assert sum(trainable.values()) == 2 * layers * (2 * hidden * width + width + hidden)
    assert all("bottleneck_" in name for name in trainable)


def test_it_changes_answers_can_be_switched_off_and_comes_back_bit_equal(tiny_model: Path, tmp_path: Path) -> None:
    base = load(tiny_model)
    plain = base(IDS).logits
    model = get_peft_model(base, BottleneckConfig(task_type="CAUSAL_LM", bottleneck=16)).eval()
    disturb(model)
    tuned = model(IDS).logits
    assert not torch.allclose(tuned, plain)
    with model.disable_adapter():
        assert torch.equal(model(IDS).logits, plain)
    model.save_pretrained(str(tmp_path))
    assert {file.name for file in tmp_path.glob("adapter*")} == {"adapter_config.json", "adapter_model.safetensors"}
    again = PeftModel.from_pretrained(load(tiny_model), str(tmp_path)).eval()
    assert torch.equal(again(IDS).logits, tuned)
    assert again.generate(input_ids=IDS, max_new_tokens=3, do_sample=False).shape[1] == 8


def test_two_adapters_share_one_base(tiny_model: Path, tmp_path: Path) -> None:
    model = get_peft_model(load(tiny_model), BottleneckConfig(task_type="CAUSAL_LM", bottleneck=8)).eval()
    disturb(model)
    first = model(IDS).logits
    model.save_pretrained(str(tmp_path))
    model.load_adapter(str(tmp_path), "second")
    model.add_adapter("fresh", BottleneckConfig(task_type="CAUSAL_LM", bottleneck=8))
    model.set_adapter("second")
    assert torch.equal(model(IDS).logits, first)
    model.set_adapter("fresh")
    with model.disable_adapter():
        plain = model(IDS).logits
    assert torch.equal(model(IDS).logits, plain)


def test_gradients_pass_through_checkpointing(tiny_model: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = get_peft_model(load(tiny_model), BottleneckConfig(task_type="CAUSAL_LM", bottleneck=8)).train()
        disturb(model)
        if checkpointing:
            model.gradient_checkpointing_enable()
            model.enable_input_require_grads()
        model(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_other_families_have_other_names(tiny_model: Path) -> None:
    assert default_targets(load(tiny_model)) == ["self_attn", "mlp"]
    config = GPTNeoXConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    assert default_targets(GPTNeoXForCausalLM(config)) == ["attention", "mlp"]
    with pytest.raises(ValueError, match="set target_modules"):
        default_targets(torch.nn.Linear(2, 2))
