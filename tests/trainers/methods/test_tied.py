"""Embeddings that serve as the head too, trained whole beside an adapter: one weight in training, reload, merge."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from trainers.methods import lora
from trainers.plan import TrainingPlan, plan_from_dict

pytestmark = pytest.mark.slow
IDS = torch.arange(3, 43).reshape(2, 20)


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    """A tied model whose embedding is called wte, a name that peft does not take for an embedding."""
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, **ends)).save_pretrained(
        tmp_path / "gpt2"
    )
    return tmp_path / "gpt2"


@torch.enable_grad()
def trained(plan: TrainingPlan) -> Any:
    """The plan's model after three steps, in evaluation mode."""
    torch.manual_seed(0)
    model = lora.trainable(lora.load(plan), plan)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
    return model.eval()


def weights(model: Any) -> list[torch.Tensor]:
    """What embedding and head compute with."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    return [end.modules_to_save["default"].weight if hasattr(end, "modules_to_save") else end.weight for end in ends]


@torch.no_grad()
def check_that_it_stays_tied(plan: TrainingPlan, folder: Path) -> None:
    model = trained(plan)
    embedding, head = weights(model)
    assert embedding is head
    assert embedding.requires_grad
    start = AutoModelForCausalLM.from_pretrained(plan.model.name, dtype=torch.float32).get_input_embeddings().weight
    assert not torch.equal(embedding, start)
    expected = model(input_ids=IDS).logits
    lora.save(model, plan, folder / "adapter")

    again = lora.attach(plan, folder / "adapter")
    assert torch.equal(again(input_ids=IDS).logits, expected)
    embedding, head = weights(again)
    assert torch.equal(embedding, head)

    lora.merge(lora.load(plan), folder / "adapter").save_pretrained(folder / "merged")
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32).eval()
    assert merged.config.tie_word_embeddings
    assert merged.get_input_embeddings().weight is merged.get_output_embeddings().weight
    torch.testing.assert_close(merged(input_ids=IDS).logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("saved", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"], ["lm_head", "norm"]])
def test_embedding_and_head_stay_one_weight(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path, saved: list[str]
) -> None:
    check_that_it_stays_tied(plan_from_dict(make_plan(modules_to_save=saved)), tmp_path)


def test_an_embedding_of_another_name_stays_tied_too(
    make_plan: Callable[..., dict[str, Any]], gpt2: Path, tmp_path: Path
) -> None:
    plan = make_plan(model={"name": str(gpt2)}, modules_to_save=["wte"])
    check_that_it_stays_tied(plan_from_dict(plan), tmp_path)


def test_nothing_is_tied_where_neither_trains(make_plan: Callable[..., dict[str, Any]]) -> None:
    plan = plan_from_dict(make_plan(modules_to_save=["norm"]))
    model = lora.load(plan)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        adapted = lora.trainable(model, plan)
    assert not any(weight.requires_grad for weight in weights(adapted))
