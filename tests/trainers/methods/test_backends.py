import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from advisor.model.families import spec_from_config
from advisor.model.params import TRAINED
from trainers.errors import NotMergeable, PlanRefused
from trainers.method import Method
from trainers.methods import backend
from trainers.methods.base import Backend
from trainers.plan import plan_from_dict

MakePlan = Callable[..., dict[str, Any]]
MEMBERS = [name for name, value in vars(Backend).items() if callable(value) and not name.startswith("_")]


@pytest.mark.parametrize("method", get_args(Method))
def test_every_backend_takes_what_the_protocol_says(method: Method) -> None:
    module = backend(method)
    for name in MEMBERS:
        wanted = list(inspect.signature(getattr(Backend, name)).parameters)[1:]
        inspect.signature(getattr(module, name)).bind(*wanted)
        assert inspect.getdoc(getattr(module, name)), f"{method}.{name} has no docstring"


@pytest.mark.parametrize("method", get_args(Method))
def test_a_method_trains_as_many_parameters_as_are_counted_for_it(
    make_plan: MakePlan, method: Method, tiny_model: Path
) -> None:
    plan = plan_from_dict(make_plan(method))
    model = backend(method).trainable(backend(method).load(plan), plan)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    spec = spec_from_config(json.loads((tiny_model / "config.json").read_text()))
    assert trained == TRAINED[method](spec, plan), f"{method}: its row of TRAINED in advisor/model/params.py is wrong"


@pytest.mark.parametrize(
    ("method", "fields", "said"),
    [
        ("full", {"weights_dtype": "fp16", "compute_dtype": "fp16"}, "weights_dtype = 'fp32'"),
        ("full", {"optimizer_in_backward": True, "sharding": "ddp", "num_gpus": 2}, "needs one process"),
        ("lora", {"lora_targets": ["lm_head"]}, "put it into modules_to_save"),
        ("lora", {"lora_init": "loftq"}, "use it with method qlora"),
        ("lora", {"use_dora": True, "lora_init": "pissa"}, "use one of them"),
        ("lora", {"lora_init": "pissa", "modules_to_save": ["embed_tokens"]}, "saved without modules_to_save"),
        ("lora", {"lora_init": "pissa", "trainable_token_indices": [1]}, "saved without modules_to_save"),
        ("lora", {"lora_init": "pissa", "sharding": "fsdp", "num_gpus": 2}, "no process holds"),
        ("lora", {"lora_dropout": 0.1, "lora_expert_targets": ["mlp.experts.down_proj"]}, "set it to 0"),
        ("qlora", {"lora_init": "pissa"}, "use 'loftq'"),
        ("qlora", {"optimizer": "paged_adamw_8bit", "sharding": "fsdp", "num_gpus": 2}, "fail to save"),
        ("prefix", {"packing": True}, "cannot pack"),
    ],
)
def test_a_plan_that_a_method_cannot_carry_out_is_refused_with_the_way_out(
    make_plan: MakePlan, method: Method, fields: dict[str, Any], said: str
) -> None:
    refusals = backend(method).refusals(plan_from_dict(make_plan(method, **fields)))
    assert said in " ".join(refusals)
    assert backend(method).refusals(plan_from_dict(make_plan(method))) == []


def test_a_missing_target_names_what_is_there(make_plan: MakePlan) -> None:
    plan = plan_from_dict(make_plan(lora_targets=["query", "q_proj"]))
    lora = backend("lora")
    with pytest.raises(PlanRefused, match="no module named query") as refused:
        lora.trainable(lora.load(plan), plan)
    assert "k_proj" in refused.value.why


def test_a_base_that_was_published_in_4_bits_is_not_trained_in_full(make_plan: MakePlan, tmp_path: Path) -> None:
    backend("qlora").load(plan_from_dict(make_plan("qlora"))).save_pretrained(str(tmp_path))
    plan = plan_from_dict(make_plan("full", model={"name": str(tmp_path)}))
    full = backend("full")
    with pytest.raises(PlanRefused, match="it is quantised") as refused:
        full.trainable(full.load(plan), plan)
    assert "16-bit release" in refused.value.fix


@pytest.mark.parametrize(("rank", "device"), [("0", "cuda:0"), ("3", "cuda:3")])
def test_each_process_loads_onto_its_own_card(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch, rank: str, device: str
) -> None:
    """`auto` would spread the model over cards that belong to other processes."""
    import transformers

    from trainers.methods import models

    asked: dict[str, Any] = {}

    class Stop(Exception):  # noqa: N818  not an error: the load itself needs a card
        pass

    def load(_name: str, **options: Any) -> None:
        asked.update(options)
        raise Stop

    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", load)
    fields = {"accelerator": "cuda", "sharding": "ddp", "num_gpus": 4}
    with pytest.raises(Stop):
        models.load_model(plan_from_dict(make_plan(**fields)))
    assert asked["device_map"] == {"": device}
    asked.clear()
    with pytest.raises(Stop):
        models.load_model(plan_from_dict(make_plan(**{**fields, "sharding": "fsdp"})))
    assert "device_map" not in asked


def test_all_linear_leaves_out_the_head_and_trains_the_rest_of_the_blocks(make_plan: MakePlan) -> None:
    plan = plan_from_dict(make_plan())
    lora = backend("lora")
    model = lora.trainable(lora.load(plan), plan)
    trained = {name.split(".lora_")[0].rpartition(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_qlora_packs_the_blocks_and_nothing_else(make_plan: MakePlan) -> None:
    import bitsandbytes

    plan = plan_from_dict(make_plan("qlora", compute_dtype="bf16", weights_dtype="bf16"))
    model = backend("qlora").load(plan)
    packed = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(packed) == 2 * 7
    state = packed[0].weight.quant_state
    assert (state.quant_type, state.nested, packed[0].weight.dtype) == ("nf4", True, torch.uint8)
    assert packed[0].compute_dtype == torch.bfloat16
    assert model.lm_head.weight.dtype == torch.bfloat16


def test_under_fsdp_packed_weights_are_stored_as_they_are_sharded(make_plan: MakePlan) -> None:
    fields = {"compute_dtype": "bf16", "weights_dtype": "bf16", "sharding": "fsdp", "num_gpus": 2}
    config = backend("qlora").quantization(plan_from_dict(make_plan("qlora", **fields)))  # type: ignore[attr-defined]
    assert config.bnb_4bit_quant_storage == torch.bfloat16


def test_loftq_starts_nearer_to_the_unquantised_model(make_plan: MakePlan, tiny_model: Path) -> None:
    from trainers.training.reload import logits

    ids = list(range(3, 40))
    truth = logits(backend("full").load(plan_from_dict(make_plan("full"))), ids)
    gaps = {}
    for start in ("default", "loftq"):
        plan = plan_from_dict(make_plan("qlora", lora_init=start, lora_rank=32))
        qlora = backend("qlora")
        gaps[start] = (logits(qlora.trainable(qlora.load(plan), plan), ids) - truth).abs().mean().item()
    assert gaps["loftq"] < 0.7 * gaps["default"]


@pytest.mark.parametrize("method", ["full", "prefix", "adapter"])
def test_what_has_no_merged_form_says_why(method: Method, tmp_path: Path) -> None:
    with pytest.raises(NotMergeable) as refused:
        backend(method).merge(None, tmp_path)  # type: ignore[arg-type]
    assert refused.value.why


def test_a_merged_lora_answers_as_the_adapter_does(make_plan: MakePlan, tmp_path: Path) -> None:
    from trainers.training.reload import logits

    plan = plan_from_dict(make_plan())
    lora = backend("lora")
    model = lora.trainable(lora.load(plan), plan)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    lora.save(model, plan, tmp_path)
    ids = list(range(3, 40))
    merged = lora.merge(lora.load(plan), tmp_path)
    assert torch.allclose(logits(merged, ids), logits(lora.attach(plan, tmp_path), ids), atol=1e-4)


def test_a_prefix_starts_from_words_that_the_model_has_read(make_plan: MakePlan) -> None:
    """So its first answers are those of the base behind these words, to the last bit of rounding."""
    from trainers.methods.models import load_tokenizer
    from trainers.methods.prefix import WORDS
    from trainers.training.reload import logits

    plan = plan_from_dict(make_plan("prefix"))
    prefix = backend("prefix")
    words = load_tokenizer(plan)(WORDS, add_special_tokens=False)["input_ids"][:8]
    asked = list(range(3, 40))
    behind = logits(prefix.load(plan), words + asked)[8:]
    assert torch.allclose(logits(prefix.trainable(prefix.load(plan), plan), asked), behind, atol=1e-4)
