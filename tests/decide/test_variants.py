"""Variants: which ways there are to run each method on which devices, in which order, and what each may take."""

from __future__ import annotations

import typing
from itertools import product
from typing import Any

import pytest

from advisor.decide.facts import Devices, Facts
from advisor.decide.variants import Axes, Variant, methods_to_judge, variants
from advisor.probe.hardware import Gpu
from trainers.method import Method
from trainers.plan import ModelRef, TrainingPlan, plan_problems

METHODS = typing.get_args(Method)
FULL = ("weights_dtype", "optimizer", "gradient_checkpointing", "optimizer_in_backward")


def devices(count: int, nodes: int = 1, accelerator: str = "cuda") -> Devices:
    gpus = tuple(Gpu(index=index, name="card") for index in range(count))
    return Devices(gpus=gpus, num_nodes=nodes, accelerator=accelerator, available_bytes=None)  # type: ignore[arg-type]


CPU = devices(0, accelerator="cpu")


def rows(found: list[Variant], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(variant.axes, name) for name in names) for variant in found]


def test_an_adapter_on_one_card_keeps_its_activations_where_that_is_comfortable_and_recomputes_them_else() -> None:
    for method in ("lora", "qlora", "adapter"):
        found = list(variants(method, devices(1)))
        assert rows(found, "sharding", "cpu_offload", "gradient_checkpointing") == [
            ("none", False, False),
            ("none", False, True),
        ]
        assert [variant.share for variant in found] == [0.7, 1.0]
        assert [variant.name for variant in found] == [
            "one device, activations kept",
            "one device, gradient checkpointing",
        ]


def test_prefix_tuning_never_recomputes_and_may_take_all_the_memory_instead() -> None:
    found = list(variants("prefix", devices(1)))
    assert rows(found, "gradient_checkpointing") == [(False,), (False,)]
    assert [variant.share for variant in found] == [0.7, 1.0]
    assert [variant.name for variant in found][1] == "one device, activations kept, tight"


def test_an_adapter_on_several_cards_is_copied_first_then_sharded_then_off_loaded() -> None:
    for method in ("lora", "qlora"):
        found = list(variants(method, devices(4)))
        assert rows(found, "sharding", "cpu_offload", "gradient_checkpointing") == [
            ("ddp", False, False),
            ("ddp", False, True),
            ("fsdp", False, False),
            ("fsdp", False, True),
            ("fsdp", True, True),
        ]
        assert [variant.share for variant in found] == [0.7, 1.0, 0.7, 1.0, 1.0]
        assert found[-1].name == "fsdp with CPU offload, gradient checkpointing"


def test_prefixes_and_bottlenecks_are_never_sharded() -> None:
    for method in ("prefix", "adapter"):
        assert set(rows(list(variants(method, devices(2))), "sharding", "cpu_offload")) == {("ddp", False)}


def test_full_fine_tuning_on_one_card_gives_up_precision_step_by_step() -> None:
    found = list(variants("full", devices(1)))
    assert rows(found, *FULL) == [
        ("fp32", "adamw_torch_fused", False, False),
        ("fp32", "adamw_torch_fused", True, False),
        ("bf16", "adamw_torch_fused", True, False),
        ("bf16", "adamw_8bit", True, False),
        ("bf16", "paged_adamw_8bit", True, True),
    ]
    assert [variant.share for variant in found] == [0.7, 1.0, 1.0, 1.0, 1.0]
    assert [variant.name.removeprefix("one device, ") for variant in found] == [
        "fp32 master weights",
        "fp32 master weights, checkpointing",
        "bf16 weights, checkpointing",
        "bf16 weights, 8-bit Adam, checkpointing",
        "bf16 weights, paged 8-bit Adam stepped in backward, checkpointing",
    ]


def test_full_fine_tuning_on_several_cards_is_sharded_never_copied_and_steps_in_backward_on_one_card_only() -> None:
    found = list(variants("full", devices(8)))
    assert rows(found, "sharding", "cpu_offload", *FULL) == [
        ("fsdp", False, "fp32", "adamw_torch_fused", False, False),
        ("fsdp", False, "fp32", "adamw_torch_fused", True, False),
        ("fsdp", False, "bf16", "adamw_torch_fused", True, False),
        ("fsdp", True, "fp32", "adamw_torch_fused", True, False),
    ]
    assert [variant.share for variant in found] == [0.7, 1.0, 1.0, 1.0]


def test_full_fine_tuning_on_a_cpu_keeps_fp32_weights() -> None:
    assert rows(list(variants("full", CPU)), "accelerator", *FULL) == [
        ("cpu", "fp32", "adamw_torch_fused", False, False),
        ("cpu", "fp32", "adamw_torch_fused", True, False),
    ]


def test_an_adapter_leaves_optimizer_and_weights_to_the_rules() -> None:
    for variant in variants("lora", devices(2)):
        assert variant.axes.fixed().keys() == {
            "method",
            "quantization",
            "accelerator",
            "num_gpus",
            "num_nodes",
            "sharding",
            "cpu_offload",
            "gradient_checkpointing",
        }


def test_only_qlora_is_quantised() -> None:
    quantised = {method: {v.axes.quantization for v in variants(method, devices(1))} for method in METHODS}
    assert quantised == {method: {"nf4" if method == "qlora" else "none"} for method in METHODS}


def test_processes_are_counted_over_all_nodes_and_a_cpu_is_one() -> None:
    assert set(rows(list(variants("lora", devices(8, nodes=2))), "num_gpus", "num_nodes")) == {(16, 2)}
    assert set(rows(list(variants("lora", devices(1, nodes=2))), "num_gpus", "num_nodes", "sharding")) == {
        (2, 2, "ddp"),
        (2, 2, "fsdp"),
    }
    assert set(rows(list(variants("lora", CPU)), "num_gpus", "num_nodes", "sharding")) == {(1, 1, "none")}
    nodes_of_a_cluster = Devices(gpus=(), num_nodes=3, accelerator="cpu", available_bytes=None)
    assert {variant.axes.num_nodes for variant in variants("lora", nodes_of_a_cluster)} == {1}


def test_two_methods_are_judged_only_when_asked_for() -> None:
    def judged(wish: str | None) -> tuple[str, ...]:
        return methods_to_judge(Facts(values={"wish.method": wish} if wish else {}, reasons={}))

    assert judged(None) == judged("qlora") == ("lora", "qlora", "full")
    assert judged("prefix") == ("lora", "qlora", "full", "prefix")
    assert judged("adapter") == ("lora", "qlora", "full", "adapter")


def test_the_axes_are_fields_of_the_plan_with_the_types_that_they_have_there() -> None:
    in_plan, in_axes = typing.get_type_hints(TrainingPlan), typing.get_type_hints(Axes)
    for name, kind in in_axes.items():
        assert in_plan[name] in (kind, *typing.get_args(kind)), name


@pytest.mark.parametrize(("method", "machine"), list(product(METHODS, [CPU, devices(1), devices(8), devices(4, 2)])))
def test_every_variant_is_lawful_has_a_name_of_its_own_and_no_twin(method: Method, machine: Devices) -> None:
    found = list(variants(method, machine))
    assert len({variant.name for variant in found}) == len(found)
    assert len({(variant.share, *sorted(variant.axes.fixed().items())) for variant in found}) == len(found)
    shape = {
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_targets": ("all-linear",),
        "num_virtual_tokens": 8,
        "adapter_bottleneck": 8,
    }
    for variant in found:
        plan = TrainingPlan(model=ModelRef(name="m"), **variant.axes.fixed(), **shape)
        assert plan_problems(plan) == []
