"""How the benchmark reads published speeds: cards, batches, splits, kernels; what cannot be read is refused."""

from __future__ import annotations

import pytest

from tests.benchmarks.published import NotExpressed
from tests.benchmarks.time_accuracy import predict

ROW = {
    "source": "InternLM/xtuner xtuner/configs/llama/llama3_8b/README.md @b934f462",
    "model": "Llama-3-8B",
    "method": "full zero3",
    "gpu": "A100-80GB",
    "n_gpus": "8",
    "micro_batch": "1",
    "seq_len": "32768",
    "packing": "packed",
    "tokens_per_s_per_gpu": "1870.2",
    "note": "",
    "grad_checkpointing": "yes",
    "quality": "A",
}


@pytest.fixture(autouse=True)
def _without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the benchmark sets it for its own process, which here is that of all tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def rate(**changes: str) -> float:
    """Predicted tokens a second and GPU."""
    return predict(ROW | changes).predicted


def test_a_sequence_over_four_gpus_is_not_one_on_each():
    """xtuner states 1870 for sequence-parallel size 4: weights are gathered for a quarter of the tokens."""
    shared = rate(note="sequence-parallel size 4")
    assert shared < rate()
    assert shared == pytest.approx(1870, rel=0.3)


def test_a_global_batch_is_run_row_by_row():
    """ms-swift states the global batch alone: on eight GPUs sixteen rows are two of each."""
    stated = {"micro_batch": "", "seq_len": "8192", "model": "Qwen2.5-14B"}
    assert rate(**stated, note="global batch 16 sequences") == rate(**stated | {"micro_batch": "1"}, note="GA 2")


def test_the_kernel_that_unpacks_gptq_is_that_of_the_source():
    gptq = {"method": "qlora-gptq-int4", "n_gpus": "1", "seq_len": "512", "model": "Qwen-7B", "micro_batch": "4"}
    assert rate(**gptq, source="foundation-model-stack/fms-acceleration") > rate(
        **gptq, source="QwenLM/Qwen README.md"
    )


def test_a_peak_that_the_note_states_replaces_the_catalogue_s():
    """torchtitan ran on an H100 variant of 500 W."""
    titan = {"source": "pytorch/torchtitan benchmarks", "gpu": "H100-96GB-HBM2e-500W", "method": "pretrain bf16"}
    assert rate(**titan, note="FSDP; peak taken as about 800 TFLOPS") < 0.9 * rate(**titan)


@pytest.mark.parametrize(("model", "kept"), [("Llama-3-8B", True), ("Llama-3-70B", False)])
def test_activations_are_kept_where_a_recipe_keeps_them_and_they_fit(model, kept):
    nemo = {"source": "NVIDIA-NeMo/Automodel", "method": "lora", "gpu": "H100-SXM", "seq_len": "4096", "model": model}
    unsaid = rate(**nemo, micro_batch="2", grad_checkpointing="")
    assert (unsaid == rate(**nemo, micro_batch="2", grad_checkpointing="no")) is kept


def test_8_bit_products_are_faster():
    titan = {"source": "pytorch/torchtitan benchmarks", "gpu": "H100-SXM", "note": "compile", "seq_len": "8192"}
    assert 1.1 < rate(**titan, method="pretrain fp8") / rate(**titan, method="pretrain bf16") < 1.7


def test_padding_is_no_work_that_a_rate_counts():
    peft = {"seq_len": "768", "n_gpus": "1", "method": "lora", "micro_batch": "4", "model": "Llama-3.2-3B"}
    padded = rate(**peft, packing="padded to the batch maximum; tokens exclude padding (mean 210)")
    assert padded < 0.8 * rate(**peft)
    for unsaid in ("padded", "no"):
        with pytest.raises(NotExpressed, match="padding is not stated"):
            rate(**peft, packing=unsaid)
