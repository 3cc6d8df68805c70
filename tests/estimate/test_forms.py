"""Adapters that are not LoRA: what they keep and train, against peft's own layers, and what estimates make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from advisor.estimate import estimate_memory
from advisor.estimate.forms import ENCODED_PROMPT, FORMS, NORMS, PROJECTED_PREFIX, TOKENS, form_values
from advisor.estimate.stacks import PEFT_LOOP
from tests.estimate.shapes import model, plan

peft = pytest.importorskip("peft")
torch = pytest.importorskip("torch")

INPUTS, OUTPUTS, RANK = 64, 96, 8
TARGET: dict[str, Any] = {"target_modules": ["q"]}
CONFIGS: dict[str, Callable[[], Any]] = {
    "adalora": lambda: peft.AdaLoraConfig(init_r=RANK, target_r=4, total_step=100, **TARGET),
    "lora_fa": lambda: peft.LoraConfig(r=RANK, **TARGET),
    "vera": lambda: peft.VeraConfig(r=RANK, **TARGET),
    "ia3": lambda: peft.IA3Config(feedforward_modules=[], **TARGET),
    "ia3_feedforward": lambda: peft.IA3Config(feedforward_modules=["q"], **TARGET),
    "loha": lambda: peft.LoHaConfig(r=RANK, **TARGET),
    "lokr": lambda: peft.LoKrConfig(r=RANK, **TARGET),
    "fourierft": lambda: peft.FourierFTConfig(n_frequency=100, **TARGET),
    "hira": lambda: peft.HiraConfig(r=RANK, **TARGET),
    "glora": lambda: peft.GloraConfig(r=RANK, **TARGET),
    "miss": lambda: peft.MissConfig(r=RANK, **TARGET),
    "miss_bat": lambda: peft.MissConfig(r=RANK, init_weights="bat", **TARGET),
    "road": lambda: peft.RoadConfig(group_size=8, **TARGET),
    "gralora": lambda: peft.GraloraConfig(r=RANK, **TARGET),
    "deft": lambda: peft.DeftConfig(r=RANK, **TARGET),
    "beft": lambda: peft.BeftConfig(**TARGET),
    "pvera": lambda: peft.PveraConfig(r=RANK, **TARGET),
    "vblora": lambda: peft.VBLoRAConfig(r=RANK, vector_length=16, num_vectors=64, **TARGET),
    "delora": lambda: peft.DeloraConfig(r=RANK, **TARGET),
    "psoft": lambda: peft.PsoftConfig(r=RANK, **TARGET),
    "c3a": lambda: peft.C3AConfig(block_size=16, **TARGET),
    "oft": lambda: peft.OFTConfig(r=0, oft_block_size=RANK, **TARGET),
}
"""BOFT's layer is not among them: it builds a CUDA extension and changes the environment."""
TRAINED = ("adalora", "lora_fa", "vera", "ia3", "ia3_feedforward", "loha", "hira", "glora", "miss", "gralora", "oft")
"""Forms whose trained values follow from widths and rank."""


class Cost(NamedTuple):
    kept: int
    """Bytes that one forward saves for backward, besides parameters."""
    trained: int


def cost_of(form: str, tokens: int) -> Cost:
    """One forward of the adapted layer over a bf16 base."""
    config = CONFIGS[form]()
    torch.manual_seed(0)
    base = torch.nn.Sequential()
    base.add_module("q", torch.nn.Linear(INPUTS, OUTPUTS, bias=False, dtype=torch.bfloat16))
    adapted = peft.get_peft_model(base, config)
    for name, parameter in adapted.named_parameters():
        if form == "lora_fa" and "lora_A" in name:
            parameter.requires_grad_(False)
    given = torch.randn(1, tokens, INPUTS, dtype=torch.bfloat16, requires_grad=True)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*adapted.parameters(), *adapted.buffers())}
    saved: dict[int, int] = {}
    alive = []

    def pack(tensor: Any) -> Any:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        adapted(given)
    return Cost(sum(saved.values()), sum(p.numel() for p in adapted.parameters() if p.requires_grad))


@pytest.mark.parametrize("form", CONFIGS)
def test_a_form_keeps_for_each_token_what_peft_s_layer_keeps(form):
    costs = FORMS[form]
    few, many = cost_of(form, 128), cost_of(form, 256)
    predicted = costs.inputs * INPUTS + costs.outputs * OUTPUTS + costs.rank * RANK
    assert (many.kept - few.kept) / 128 == predicted


@pytest.mark.parametrize("form", ["loha", "lokr", "fourierft", "hira", "glora", "miss_bat"])
def test_a_form_that_builds_a_matrix_keeps_it(form):
    few, many = cost_of(form, 128), cost_of(form, 256)
    fixed = 2 * few.kept - many.kept
    assert fixed == pytest.approx(FORMS[form].built(INPUTS, OUTPUTS), rel=0.08)


@pytest.mark.parametrize("form", TRAINED)
def test_a_form_trains_as_many_values_as_peft_s_layer(form):
    assert cost_of(form, 8).trained == pytest.approx(FORMS[form].trained(INPUTS, OUTPUTS, RANK), abs=2)


def peak(form: str, **fields: Any) -> int:
    given: dict[str, Any] = {"lora_targets": ("q_proj", "v_proj"), "gradient_checkpointing": False}
    stack = msgspec.structs.replace(PEFT_LOOP, form=form)
    return estimate_memory(model("Llama-3.1-8B"), plan("lora", **given | fields), stack=stack).allocated.likely


def test_forms_that_keep_less_need_less():
    assert peak("lora_fa") < peak("vera") < peak("lora") < peak("adalora") < peak("loha")


def test_a_prompt_of_virtual_tokens_costs_what_longer_rows_cost():
    none = {"lora_targets": ("nothing",), "lora_rank": 1}
    longer = peak(TOKENS, **none, max_seq_len=2148)
    assert peak(TOKENS, **none, num_virtual_tokens=100) == pytest.approx(longer, rel=0.001)
    assert peak(ENCODED_PROMPT, **none, num_virtual_tokens=100) > longer


def test_norms_that_train_keep_their_normalised_inputs():
    shape = model("Llama-3.1-8B")
    assert form_values(shape, plan("lora"), NORMS) == (2 * 32 + 1) * 4096
    kept = peak(NORMS, lora_targets=("nothing",)) - peak(TOKENS, lora_targets=("nothing",))
    assert kept == pytest.approx(2 * 32 * 2048 * 4096 * 2, rel=0.05)


def test_projected_prefixes_train_two_linears():
    shape = model("Llama-3.1-8B")
    keys_and_values = 2 * 32 * 8 * 128
    values = form_values(shape, plan("prefix", num_virtual_tokens=16), PROJECTED_PREFIX)
    assert values == 16 * 4096 + 4097 * (4096 + keys_and_values)
