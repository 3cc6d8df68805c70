"""Examples that share a row: answered as each alone, or the plan is refused. Real collators, tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, TrainerControl, TrainerState
from trl import SFTConfig

from tests.trainers.plans import lora_plan
from trainers.errors import PlanRefused
from trainers.training.packed_apart import ROWS, TOKENS, PackedApart, looks_at, rows_of
from trainers.training.token_loss import TokenLossTrainer

TINY: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 32,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "word_embed_proj_dim": 32,
    "lru_width": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "attention_window_size": 64,
    "max_position_embeddings": 512,
    "eos_token_id": 1,
    "bos_token_id": 1,
    "pad_token_id": 0,
}
EXAMPLES = [[2 + (13 * row + 7 * place) % 190 for place in range(length)] for row, length in enumerate((30, 70, 20))]
IN_FP32 = {"compute_dtype": "fp32", "weights_dtype": "fp32"}


def trainer_of(family: str, folder: Path, **fields: Any) -> TokenLossTrainer:
    """A tiny model of the family and its examples in packed rows, ready to train."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    usual = AutoConfig.for_model(family)
    config = AutoConfig.for_model(
        family, **{key: value for key, value in TINY.items() if hasattr(usual, key)}, **fields
    )
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a")), pad_token="a", eos_token="b"
    )
    args = SFTConfig(
        output_dir=str(folder),
        use_cpu=True,
        report_to=[],
        packing=True,
        max_length=128,
        padding_free=True,
        max_steps=1,
    )
    return TokenLossTrainer(
        model=AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float(),
        args=args,
        train_dataset=Dataset.from_dict({"input_ids": EXAMPLES, "labels": EXAMPLES}),
        processing_class=tokenizer,
    )


def after_a_step(proof: PackedApart) -> None:
    proof.on_step_end(proof.trainer.args, TrainerState(), TrainerControl())


def test_a_model_that_keeps_them_apart_passes_and_trains_on(tmp_path: Path) -> None:
    trainer = trainer_of("llama", tmp_path)
    proof = PackedApart(lora_plan(packing=True, **IN_FP32), trainer)
    trainer.model.train()
    after_a_step(proof)
    assert len(proof.rows) == len(EXAMPLES)
    assert proof.difference is not None and proof.difference < 1e-5
    assert trainer.model.training


@pytest.mark.parametrize("family", ["opt", "recurrent_gemma"])
def test_a_model_whose_attention_or_state_runs_over_the_border_is_refused(family: str, tmp_path: Path) -> None:
    proof = PackedApart(lora_plan(packing=True, **IN_FP32), trainer_of(family, tmp_path))
    with pytest.raises(PlanRefused, match="examples that share a row see each other") as refused:
        after_a_step(proof)
    assert "packing = false" in refused.value.fix


def test_an_answer_that_is_not_a_number_is_no_proof(tmp_path: Path) -> None:
    trainer = trainer_of("llama", tmp_path)
    trainer.model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(PlanRefused):
        after_a_step(PackedApart(lora_plan(packing=True, **IN_FP32), trainer))


def test_only_plans_whose_examples_share_a_row_are_looked_at(tmp_path: Path) -> None:
    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    trainer = trainer_of("llama", tmp_path)
    trainer.args = args
    assert looks_at(lora_plan(packing=True), trainer)
    assert not looks_at(lora_plan(), trainer)


def test_the_row_with_most_examples_is_taken_and_long_ones_are_cut() -> None:
    lengths = [[100], [70, 3, 2, 1, 24], [50, 50]]
    rows = Dataset.from_dict({"input_ids": [list(range(100)) for _ in lengths], "seq_lengths": lengths})
    assert rows_of(rows) == [list(range(TOKENS)), [70, 71, 72], [73, 74], [75]]
    apart = Dataset.from_dict({"input_ids": [[1] * 100, [2], [3], [4], [5]]})
    assert rows_of(apart) == [[1] * TOKENS, [2], [3], [4]] and len(rows_of(apart)) == ROWS


def test_a_family_with_experts_trains_a_model_that_has_none(tmp_path: Path) -> None:
    fields = {"num_local_experts": 0, "shared_intermediate_size": 64, "layer_types": ["attention"] * 3}
    fields |= {"mamba_n_heads": 4, "mamba_d_head": 16}
    trainer = trainer_of("granitemoehybrid", tmp_path, **fields)
    assert trainer.train().training_loss > 0
    assert not trainer.model.config.output_router_logits
