"""What a tune has cost on the general set; on an adapter that says something else than its base."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.documents import validated
from trainers.handover.judgement import judge
from trainers.plan import plan_from_dict, save_plan
from trainers.run_folder.summary import summarise
from trainers.scores.general import general_questions
from trainers.scores.measures import measure_named
from trainers.training import retention


@pytest.fixture
def spoilt(tmp_path: Path, tiny_model: Path, chats: Path) -> Path:
    """A run folder whose adapter adds noise to everything."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    plan = {
        "model": {"name": str(tiny_model)},
        "dataset": {"source": str(chats)},
        "method": "lora",
        "lora_rank": 4,
        "lora_alpha": 64,
        "lora_targets": ["all-linear"],
        "accelerator": "cpu",
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
    }
    save_plan(plan_from_dict(plan), tmp_path / "plan.toml")
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    base = AutoModelForCausalLM.from_pretrained(str(tiny_model))
    get_peft_model(base, config).save_pretrained(str(tmp_path / "result"))
    (tmp_path / "run.json").write_text(json.dumps({"exit_state": "done"}))
    return tmp_path


def test_base_and_tuned_are_asked_alike_and_the_report_says_what_changed(spoilt: Path) -> None:
    found = retention.look(spoilt)
    validated("retention", found)
    assert found.loss_change is not None
    assert found.loss_change.value != 0
    assert found.loss_change.rows == len(general_questions())
    assert found.task is not None
    assert found.task.tuned.rows == len(general_questions())
    run = summarise(spoilt)
    assert msgspec.to_builtins(run.retention) == msgspec.to_builtins(found)
    assert any(f"On {found.loss_change.rows} general questions" in sentence for sentence in judge(run, []))
    assert "nothing to do with the data" in (spoilt / "report.html").read_text()


def test_each_question_is_asked_once_and_its_answer_is_right() -> None:
    asked = general_questions()
    assert len({question for question, _ in asked}) == len(asked) >= 50
    holds = measure_named("holds")
    assert holds("Paris.", "The capital of France is Paris, of course.") == 1.0
    assert holds("Paris.", "It is Parisian.") == 0.0
    assert holds("5.", "2 plus 3 is 5.") == 1.0
    assert holds("5.", "It is 15.") == 0.0
