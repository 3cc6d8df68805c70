"""How the benchmark reads what people spell in many ways: optimizers, lengths, targets, names of models."""

from __future__ import annotations

import pytest

from tests.benchmarks.memory_accuracy import predict
from tests.benchmarks.published import NotExpressed, express
from tests.estimate.test_published import FULL, ROW


@pytest.fixture(autouse=True)
def _without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the benchmark sets it for its own process, which here is that of all tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def row(**changes: str) -> dict[str, str]:
    return ROW | changes


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ("adamw_torch (fused)", "adamw_torch_fused"),
        ("deepspeed_adamw", "adamw_torch_fused"),
        ("AdamW 8-bit", "adamw_8bit"),
        ("adamw_bnb_8bit", "adamw_8bit"),
        ("PagedAdamW8bit", "paged_adamw_8bit"),
        ("paged_adamw", "paged_adamw_32bit"),
        ("galore_adamw8bit_per_layer", "adamw_torch"),
        ("lorafa_adamw", "adamw_torch"),
        ("lion_8bit", "lion_8bit"),
        ("adafactor", "adafactor"),
    ],
)
def test_an_optimizer_is_read_in_any_spelling(stated, kind):
    assert express(row(optimizer=stated)).plan.optimizer == kind


def test_four_bit_states_are_half_a_byte_and_their_scales():
    """ao-011: adamw_4bit (torchao)."""
    full = FULL | {"base_dtype": "bf16", "training_precision": "pure_bf16"}
    wide, narrow = (
        predict(express(row(**full, optimizer=name))).estimate
        for name in ("adamw_torch_fused", "adamw_4bit (torchao)")
    )
    states = [dict(found.phases[1].parts)["optimizer_states"] for found in (wide, narrow)]
    assert states[1] / states[0] == pytest.approx((0.5 + 4 / 128) / 2, rel=0.001)


@pytest.mark.parametrize(
    ("stated", "tokens"), [("4096", 4096), ("4,096", 4096), ("32k", 32_768), ("1M", 1_048_576), ("512", 512)]
)
def test_a_length_is_read_in_any_spelling(stated, tokens):
    assert express(row(seq_len=stated)).plan.max_seq_len == tokens


@pytest.mark.parametrize(
    ("stated", "names"),
    [
        ("q_proj, v_proj", {"q_proj", "v_proj"}),
        ("q/k/v/o", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("attention and mlp", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("ALL", {"all-linear"}),
        ("all linear layers", {"all-linear"}),
        ("regex on language layers", {"all-linear"}),
    ],
)
def test_targets_are_read_between_any_signs(stated, names):
    assert set(express(row(lora_targets=stated)).plan.lora_targets) == names


def test_targets_that_name_experts_or_embeddings_adapt_or_train_them():
    """axo-025: attention + experts, over int8 there; uns-nb-042: ...+embed_tokens+lm_head."""
    flash = {"model": "zai-org/GLM-4.7-Flash", "params_b": "unknown", "lora_targets": "attention + experts"}
    glm = express(row(**flash, method="lora", base_dtype="bf16")).plan
    with pytest.raises(NotExpressed, match="quantised experts"):
        express(row(**flash, method="lora", base_dtype="int8"))
    assert set(glm.lora_expert_targets) == {"gate_up_proj", "down_proj"}
    assert not {"gate_up_proj", "down_proj"} & set(glm.lora_targets)
    whole = express(row(lora_targets="q_proj+v_proj+embed_tokens+lm_head")).plan
    assert (whole.lora_targets, whole.modules_to_save) == (("q_proj", "v_proj"), ("embed_tokens", "lm_head"))


def test_a_model_trained_further_has_the_shape_that_its_name_ends_with():
    further = {"model": "somebody/Sorcerer-2-Qwen2.5-7B"}
    assert express(row(**further, params_b="7.62")).model.num_params == 7_615_616_512
    with pytest.raises(NotExpressed, match="not in the catalogue"):
        express(row(**further, params_b="unknown"))


def test_an_unknown_program_that_says_it_runs_the_trainer_does():
    assert express(row(framework="open-instruct (HF Trainer)", note="")).hugging_face
