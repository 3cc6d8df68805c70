import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainers.plan import TrainingPlan, plan_from_dict
from trainers.training import evaluate
from trainers.training.dataset import PreparedData, prepare
from trainers.training.rendering import prepare_tokenizer

LIMITS = evaluate.Limits(examples=10, samples=3, new_tokens=12, seconds=60.0)


@pytest.fixture
def parts(make_plan: Callable[..., dict[str, Any]], tiny_model: Path, tmp_path: Path) -> Any:
    torch.set_num_threads(1)
    plan = plan_from_dict(make_plan())
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    prepare_tokenizer(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(str(tiny_model), dtype=torch.float32).train()
    return model, tokenizer, prepare(plan, tokenizer, tmp_path), plan


def test_the_loss_is_that_of_transformers_weighted_by_token(
    parts: tuple[Any, Any, PreparedData, TrainingPlan],
) -> None:
    model, tokenizer, data, plan = parts
    found = evaluate.score(model, tokenizer, data, plan, LIMITS)
    total = tokens = 0.0
    rows = data.eval_rows(LIMITS.examples)
    assert rows is not None
    model.eval()
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        count = (labels[:, 1:] != -100).sum().item()
        total += model(input_ids=ids, labels=labels).loss.item() * count
        tokens += count
    assert found.loss == pytest.approx(total / tokens, rel=1e-5)
    assert (found.tokens, found.examples) == (tokens, 10)
    assert found.perplexity == pytest.approx(math.exp(total / tokens), rel=1e-4)


def test_answers_are_greedy_one_by_one_or_in_a_batch_and_the_mode_is_put_back(
    parts: tuple[Any, Any, PreparedData, TrainingPlan],
) -> None:
    model, tokenizer, data, plan = parts
    found = evaluate.score(model, tokenizer, data, plan, LIMITS)
    assert model.training
    assert tokenizer.padding_side == "right"
    assert len(found.answers) == 3
    model.eval()
    for example, answer in zip(data.eval_examples(3), found.answers, strict=True):
        messages = example.messages
        asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(asked, add_special_tokens=False, return_tensors="pt").input_ids
        made = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        assert tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True) == answer


def test_only_short_references_count_as_exact(
    parts: tuple[Any, Any, PreparedData, TrainingPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer, data, plan = parts
    references = [example.messages[-1]["content"] for example in data.eval_examples(3)]
    monkeypatch.setattr(evaluate, "answers_to", lambda *_: [f" {text}\n" for text in references])
    found = evaluate.score(model, tokenizer, data, plan, LIMITS)
    short = [text for text in references if len(tokenizer(text)["input_ids"]) < LIMITS.new_tokens]
    assert found.exact == found.exact_of == len(short)


def test_samples_stand_beside_their_references(
    parts: tuple[Any, Any, PreparedData, TrainingPlan], tmp_path: Path
) -> None:
    model, tokenizer, data, plan = parts
    tuned = evaluate.score(model, tokenizer, data, plan, LIMITS)
    base = evaluate.Score(loss=9.0, answers=["a", "b", "c"])
    facts = evaluate.write_samples(tmp_path, data, plan, base, tuned, LIMITS)
    written = json.loads((tmp_path / "samples.json").read_bytes())
    assert [sample["base"] for sample in written["samples"]] == ["a", "b", "c"]
    assert [sample["tuned"] for sample in written["samples"]] == tuned.answers
    assert written["samples"][0]["reference"] == data.eval_examples(3)[0].messages[-1]["content"]
    assert facts["eval_loss_before"] == 9.0
    assert facts["eval_loss_after"] == tuned.loss
    assert "loss 9.0000 -> " in evaluate.in_words(base, tuned)


def test_nothing_kept_back_is_unknown_not_zero(
    make_plan: Callable[..., dict[str, Any]], parts: tuple[Any, Any, PreparedData, TrainingPlan], tmp_path: Path
) -> None:
    model, tokenizer, _, plan = parts
    assert plan.dataset is not None
    alone = plan_from_dict(make_plan(dataset={"source": plan.dataset.source, "eval_fraction": 0.0}))
    found = evaluate.score(model, tokenizer, prepare(alone, tokenizer, tmp_path / "other"), alone, LIMITS)
    assert (found.loss, found.perplexity, found.answers) == (None, None, [])
    assert evaluate.in_words(None, found) == ""


def test_the_base_score_survives_a_resume(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert evaluate.base_score(tmp_path) is None
    evaluate.keep_base_score(tmp_path, evaluate.Score(loss=1.5, answers=["x"]))
    kept = evaluate.base_score(tmp_path)
    assert kept is not None
    assert (kept.loss, kept.answers) == (1.5, ["x"])
