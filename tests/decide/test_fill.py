"""Filling: rules, variant and user give one lawful plan, and its micro-batch is the largest that fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.decide.batch import Examples, RunLength, micro_batch_sizes
from advisor.decide.facts import GIB
from advisor.decide.fill import Context, explain_plan, fill_plan, plan_frame, size_plan
from advisor.decide.reasons import CHOSEN_BY, set_by
from advisor.decide.variants import Variant, variants
from advisor.estimate import Estimator
from advisor.estimate.runtime import Calibration
from advisor.model import resolve_model
from advisor.model.spec import TrainedAdapter
from advisor.probe import hardware_from_text
from advisor.probe.hardware import Gpu, Hardware
from rules.engine import RuleError, load_rule_book
from tests.data.conftest import save_model
from tests.decide.conftest import Prepare
from trainers.method import Method
from trainers.plan import DatasetRef, Delivery, TrainingPlan, plan_problems

replace = msgspec.structs.replace


def with_overrides(context: Context, **overrides: Any) -> Context:
    return replace(context, overrides=overrides)


def leanest(method: Method, context: Context) -> Variant:
    return list(variants(method, context.devices))[-1]


def sized(method: Method, context: Context, share: float = 1.0) -> tuple[TrainingPlan, int]:
    variant = replace(leanest(method, context), share=share)
    return size_plan(fill_plan(variant, context, RunLength()), variant, context)


def test_a_filled_plan_holds_what_variant_and_rules_give(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    variant = leanest("lora", context)
    filled = fill_plan(variant, context, RunLength())
    for name, value in variant.axes.fixed().items():
        assert getattr(filled.plan, name) == value
    assert filled.plan.lora_rank == 16
    assert filled.plan.model.name == "Qwen/Qwen3-8B"
    assert filled.run_length == RunLength(rows_per_step=16, num_steps=891)  # 4,750 examples x 3 epochs / 16


def test_a_wrong_guess_of_the_run_length_changes_nothing(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    variant = leanest("lora", context)
    guesses = (RunLength(), RunLength(rows_per_step=512, num_steps=3), RunLength(rows_per_step=16, num_steps=10**6))
    filled = [fill_plan(variant, context, guess) for guess in guesses]
    assert filled[0] == filled[1] == filled[2]
    assert filled[0].plan.save_steps == filled[0].run_length.num_steps // 10  # type: ignore[operator]


def test_the_settings_of_a_short_run_follow_the_steps_that_were_asked_for(prepare: Prepare) -> None:
    context = with_overrides(prepare("RTX 4090", "Qwen3-8B"), max_steps=60)
    filled = fill_plan(leanest("lora", context), context, RunLength())
    assert filled.plan.max_steps == 60
    assert filled.run_length.num_steps == 60
    assert filled.plan.save_steps == 6


def test_the_number_of_steps_is_open_without_data(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", data__examples=None)
    filled = fill_plan(leanest("lora", context), context, RunLength())
    assert filled.run_length == RunLength(rows_per_step=16)


def test_what_the_user_fixed_outweighs_variant_and_rules(prepare: Prepare) -> None:
    context = with_overrides(prepare("RTX 4090", "Qwen3-8B"), gradient_checkpointing=False, lora_rank=4)
    plan, _ = sized("lora", context)
    assert plan.gradient_checkpointing is False
    assert (plan.lora_rank, plan.lora_alpha) == (4, 32)  # alpha follows by its rule


def test_a_batch_of_the_users_own_is_kept_though_it_is_no_field_of_a_plan(prepare: Prepare) -> None:
    plan, _ = sized("lora", with_overrides(prepare("RTX 4090", "Qwen3-8B"), global_batch_size=4))
    assert plan.global_batch_size == 4


def test_a_field_that_no_plan_has_is_refused(prepare: Prepare) -> None:
    context = with_overrides(prepare("RTX 4090", "Qwen3-8B"), lora_rnk=4)
    with pytest.raises(RuleError, match="lora_rnk"):
        fill_plan(leanest("lora", context), context, RunLength())


def test_a_rule_that_sets_what_no_plan_can_hold_is_refused_by_name(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "ACME-01-an-optimizer-of-our-own.toml").write_text(
        """
id = "ACME-01"
title = "An optimizer of our own"
when = 'known.plan.method'
effect = "set"
message = "{plan.optimizer}"
because = "It is not in any plan."
strength = "opinion"
sources = ["users"]
overrides = ["HYP-68", "HYP-69", "HYP-70"]

[set]
optimizer = '"adamw"'

[[cases]]
name = "any method"
given = { "plan.method" = "lora" }
expect = "fires"

[[cases]]
name = "no method"
given = {}
expect = "silent"
"""
    )
    context = replace(prepare("RTX 4090", "Qwen3-8B"), book=load_rule_book(tmp_path))
    with pytest.raises(RuleError, match="optimizer") as caught:
        fill_plan(leanest("lora", context), context, RunLength())
    assert "rules list" in str(caught.value)


def test_delivery_is_what_the_rules_say_of_artifact_weights_and_engine(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", deploy__engine="vllm", task__count=3, task__switch_per_request=True)
    delivery = sized("lora", context)[0].delivery
    assert (delivery.artifact, delivery.engine, delivery.weights) == ("adapter", "vllm", "16bit")
    assert delivery.serve_command is not None
    assert delivery.serve_command.startswith("vllm serve")
    assert sized("full", context)[0].delivery.artifact == "full_model"
    assert sized("lora", prepare("RTX 4090", "Qwen3-8B"))[0].delivery == Delivery(artifact="adapter")
    quantised = prepare("RTX 4090", "Qwen3-8B", deploy__weights="gguf", deploy__engine="ollama")
    assert sized("lora", quantised)[0].delivery.weights == "gguf"


def test_rows_of_new_tokens_train_where_a_rule_says_so_and_their_ids_are_known(
    prepare: Prepare, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    folder = save_model(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["<call>", "</call>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    added = tuple(tokenizer.token_to_id(token) for token in ("<call>", "</call>"))
    context = prepare("RTX 4090", str(folder), data__new_tokens=2)
    assert sized("lora", context)[0].trainable_token_indices == added
    assert sized("lora", with_overrides(context, trainable_token_indices=[7]))[0].trainable_token_indices == (7,)
    assert sized("full", context)[0].trainable_token_indices == ()
    assert sized("lora", prepare("RTX 4090", str(folder)))[0].trainable_token_indices == ()
    assert sized("lora", prepare("RTX 4090", "Qwen3-8B", data__new_tokens=2))[0].trainable_token_indices == ()


def test_a_plan_on_one_node_names_its_cards_and_one_on_several_cannot() -> None:
    model = resolve_model("Qwen3-8B")
    from advisor.decide.facts import choose_devices

    gpus = tuple(Gpu(index=i, name="card", uuid=f"GPU-{i}", total_bytes=GIB, free_bytes=GIB) for i in range(2))
    one = choose_devices(Hardware(state="ok", accelerator="cuda", gpus=gpus))
    two = choose_devices(Hardware(state="ok", accelerator="cuda", gpus=gpus, num_nodes=2))
    described = choose_devices(hardware_from_text("2x RTX 4090"))
    dataset = DatasetRef(source="chats.jsonl")
    assert plan_frame(model, one, dataset, "out").device_uuids == ("GPU-0", "GPU-1")
    assert plan_frame(model, two, dataset, "out").device_uuids == ()
    assert plan_frame(model, described, dataset, "out").device_uuids == ()
    assert plan_frame(model, one, dataset, "out").dataset == dataset
    assert plan_frame(model, one, dataset, "out").output_dir == "out"
    assert plan_frame(model, one, None, "out").model.max_position_embeddings == 40_960


def test_the_data_are_seen_as_the_facts_say(prepare: Prepare) -> None:
    assert prepare("cpu", "Qwen3-8B").examples == Examples(count=5_000, mean_tokens=800.0)
    known = prepare("cpu", "Qwen3-8B", data__has_eval=True, data__examples=None, data__total_tokens=None)
    assert known.examples == Examples(eval_fraction=0.0)


def test_a_plan_that_needs_exactly_what_is_free_fits(prepare: Prepare) -> None:
    free = prepare("RTX 4090", "Qwen3-8B")
    roomy = replace(free, devices=replace(free.devices, available_bytes=200 * GIB))
    largest, need_bytes = sized("lora", roomy)
    assert largest.micro_batch_size == 16

    def micro_batch(available: int, share: float = 1.0) -> int:
        tight = replace(free, devices=replace(free.devices, available_bytes=available))
        return sized("lora", tight, share)[0].micro_batch_size

    assert micro_batch(need_bytes) == 16
    assert micro_batch(need_bytes - 1) == 8
    assert micro_batch(2 * need_bytes, share=0.5) == 16
    assert micro_batch(2 * need_bytes - 2, share=0.5) == 8


def test_a_plan_that_does_not_fit_even_with_one_row_keeps_that_row_and_says_its_need(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Llama-3.1-70B")
    plan, need_bytes = sized("lora", context)
    assert (plan.micro_batch_size, plan.gradient_accumulation_steps) == (1, 16)
    assert need_bytes == context.estimator(plan).need_bytes(1) > 24 * GIB


def test_without_known_memory_the_micro_batch_is_the_largest_useful_one(prepare: Prepare) -> None:
    unknown = prepare("RTX 4090", "Qwen3-8B", data__total_tokens=5_000 * 4_096, data__len_p95=4_096)
    unknown = replace(unknown, devices=replace(unknown.devices, available_bytes=None))
    plan, _ = sized("lora", unknown)
    assert (plan.micro_batch_size, plan.gradient_accumulation_steps) == (4, 4)  # 4 x 4,096 tokens


def test_a_micro_batch_fixed_by_the_user_stays_and_accumulation_makes_up_the_rest(prepare: Prepare) -> None:
    plan, need_bytes = sized("lora", with_overrides(prepare("T4", "Qwen3-8B"), micro_batch_size=4))
    assert (plan.micro_batch_size, plan.gradient_accumulation_steps) == (4, 4)
    assert need_bytes > 16 * GIB


def test_accumulation_fixed_by_the_user_stays_and_the_micro_batch_makes_up_the_rest(prepare: Prepare) -> None:
    roomy = prepare("RTX 4090", "Qwen3-8B", available_bytes=200 * GIB)
    plan, _ = sized("lora", with_overrides(roomy, gradient_accumulation_steps=4))
    assert (plan.micro_batch_size, plan.gradient_accumulation_steps) == (4, 4)
    plan, _ = sized("lora", with_overrides(roomy, gradient_accumulation_steps=64))
    assert (plan.micro_batch_size, plan.gradient_accumulation_steps) == (1, 64)
    plan, _ = sized("lora", with_overrides(roomy, gradient_accumulation_steps=3, micro_batch_size=5))
    assert (plan.micro_batch_size, plan.gradient_accumulation_steps) == (5, 3)


def test_a_step_in_backward_never_accumulates(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Llama-3.2-1B")
    plan, _ = sized("full", context)
    assert plan.optimizer_in_backward
    assert plan.gradient_accumulation_steps == 1
    assert plan_problems(plan) == []


def test_evaluation_takes_no_larger_batch_than_training_nor_than_its_rule(prepare: Prepare) -> None:
    roomy = prepare("RTX 4090", "Qwen3-8B", available_bytes=200 * GIB)
    assert sized("lora", roomy)[0].eval_micro_batch_size == 8  # HYP-82; training takes 16
    small = with_overrides(roomy, micro_batch_size=2)
    assert sized("lora", small)[0].eval_micro_batch_size == 2


def test_each_device_of_several_gets_its_share_of_the_step(prepare: Prepare) -> None:
    plan, _ = sized("lora", prepare("8x H100", "Qwen3-8B"))
    assert plan.num_gpus == 8
    assert plan.global_batch_size == 16
    assert plan.micro_batch_size * plan.gradient_accumulation_steps == 2


def test_what_was_measured_of_a_method_corrects_that_method_alone(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    measured = replace(
        context, calibrations={"qlora": Calibration(factor=2.0, spread=0.05, runs=3, basis="three runs")}
    )
    for method in ("lora", "qlora"):
        plan, _ = sized(method, context)  # type: ignore[arg-type]
        plain, corrected = context.estimator(plan).estimate(), measured.estimator(plan).estimate()
        assert (corrected.device.likely == plain.device.likely) == (method == "lora")


def test_the_explained_plan_is_the_plan_with_the_traces_of_its_rules(prepare: Prepare) -> None:
    context = with_overrides(prepare("RTX 4090", "Qwen3-8B"), lora_rank=4)
    variant = leanest("lora", context)
    filled = fill_plan(variant, context, RunLength())
    plan, _ = size_plan(filled, variant, context)
    explained, traces = explain_plan(plan, variant, context, filled.run_length)
    assert replace(explained, set_by={}) == plan
    assert {trace.effect for trace in traces} == {"set"}
    assert explained.set_by["lora_rank"] == "user"
    assert explained.set_by["save_steps"] == "HYP-80"  # it read the number of steps
    assert explained.set_by["gradient_checkpointing"] == "fastest-that-fits"
    assert explained.set_by["optimizer"].startswith("HYP-")


def test_only_axes_that_a_variant_fixes_are_said_to_be_chosen_by_the_search(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B")
    full, lora = leanest("full", context), leanest("lora", context)
    several = replace(fill_plan(lora, context, RunLength()).plan, gradient_accumulation_steps=4)
    of_full = set_by(several, full.axes, (), {"sharding": "none"}, "full")
    of_lora = set_by(several, lora.axes, (), {}, "full")
    assert {of_full[name] for name in ("optimizer", "weights_dtype", "cpu_offload")} == {"fastest-that-fits"}
    assert (of_full["method"], of_full["sharding"]) == ("wish.method", "user")
    assert of_lora["method"] == "compared-methods"
    assert not {"optimizer", "weights_dtype", "optimizer_in_backward"} & of_lora.keys()
    assert set(of_lora.values()) <= CHOSEN_BY.keys()
    assert of_lora["num_gpus"] == of_lora["device_uuids"] == "devices-at-hand"
    assert of_lora["micro_batch_size"] == of_lora["gradient_accumulation_steps"] == "largest-that-fits"
    assert of_lora["quantization"] == "method"
    whole = set_by(replace(several, gradient_accumulation_steps=1), lora.axes, (), {}, None)
    assert whole["micro_batch_size"] == whole["gradient_accumulation_steps"] == "whole-batch"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hardware=st.sampled_from(["RTX 4090", "T4", "2x RTX 3090", "8x H100", "cpu"]),
    method=st.sampled_from(["lora", "qlora", "full", "prefix", "adapter"]),
    examples=st.integers(1, 2_000_000),
    mean=st.integers(10, 4_000),
    gib=st.integers(1, 100),
    data=st.data(),
)
def test_the_micro_batch_is_the_largest_of_those_worth_trying_that_fits(
    prepare: Prepare, hardware: str, method: Method, examples: int, mean: int, gib: int, data: st.DataObject
) -> None:
    context = prepare(
        hardware,
        "Llama-3.2-1B",
        available_bytes=gib * GIB,
        data__examples=examples,
        data__total_tokens=examples * mean,
        data__completion_tokens=examples * mean // 2,
        data__len_p95=mean,
    )
    variant = data.draw(st.sampled_from(list(variants(method, context.devices))))
    filled = fill_plan(variant, context, RunLength())
    plan, need_bytes = size_plan(filled, variant, context)
    assert plan_problems(plan) == []
    if not plan.optimizer_in_backward:
        assert plan.global_batch_size == filled.run_length.rows_per_step
    rows_per_device = (filled.run_length.rows_per_step or 0) // plan.num_gpus

    def need(size: int) -> int:
        steps = 1 if plan.optimizer_in_backward else rows_per_device // size
        evaluated = min(size, filled.plan.eval_micro_batch_size)
        chosen = replace(
            plan, micro_batch_size=size, eval_micro_batch_size=evaluated, gradient_accumulation_steps=max(1, steps)
        )
        return context.estimator(chosen).need_bytes()

    assert need_bytes == need(plan.micro_batch_size)
    room = variant.share * gib * GIB
    for size in micro_batch_sizes(plan, context.examples, rows_per_device):
        if size > plan.micro_batch_size:
            assert need(size) > room
    assert plan.micro_batch_size == 1 or need_bytes <= room


def test_memory_is_estimated_for_the_generation_of_the_card(prepare: Prepare) -> None:
    context = prepare("H100", "Qwen3-8B")
    plan, _ = sized("lora", context)
    of_the_card = context.estimator(plan).estimate()
    assert of_the_card == Estimator(context.model, plan, sm=90).estimate()
    assert of_the_card != Estimator(context.model, plan, sm=80).estimate()


def test_a_wished_method_is_said_to_be_wished(prepare: Prepare) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", wish__method="qlora")
    for method, reason in (("qlora", "wish.method"), ("lora", "compared-methods")):
        variant = leanest(method, context)  # type: ignore[arg-type]
        filled = fill_plan(variant, context, RunLength())
        explained, _ = explain_plan(filled.plan, variant, context, filled.run_length)
        assert explained.set_by["method"] == reason


def test_the_engine_holds_as_many_adapters_as_the_rules_say(prepare: Prepare) -> None:
    context = prepare(
        "A100-80GB", "Qwen3-8B", task__count=20, task__switch_per_request=True, deploy__engine="vllm",
        deploy__artifact="adapters",
    )  # fmt: skip
    delivery = fill_plan(leanest("lora", context), context, RunLength()).plan.delivery
    assert (delivery.max_loras, delivery.max_cpu_loras) == (16, 20)
    assert "--max-loras 16 --max-cpu-loras 20" in str(delivery.serve_command)


def test_an_unlawful_setting_says_who_gives_it_and_how_to_find_the_rule(prepare: Prepare) -> None:
    context = with_overrides(prepare("RTX 4090", "Qwen3-8B"), warmup_steps=-1)
    with pytest.raises(RuleError) as refused:
        fill_plan(leanest("lora", context), context, RunLength())
    (problem,) = refused.value.problems
    assert problem.what.startswith("a setting is not lawful in a plan: ")
    assert "warmup_steps" in problem.what
    assert problem.why == "a set rule, or a value fixed by hand, gives it"
    assert problem.fix == "`sft-advisor rules list` shows the rule that sets this field; correct what it gives."


def test_an_adapter_that_is_named_is_gone_on_with_at_the_cost_of_a_new_one(prepare: Prepare, tmp_path: Path) -> None:
    context = prepare("RTX 4090", "Qwen3-8B", available_bytes=24 * GIB)
    targets = tuple(context.facts.get("model.lora_targets"))
    adapter = TrainedAdapter(path=str(tmp_path), base="Qwen3-8B", rank=24, alpha=48, targets=targets)
    named = replace(context, model=replace(context.model, adapter=adapter))
    facts = {
        "model.adapter": adapter.path,
        "model.adapter_rank": 24,
        "model.adapter_alpha": 48,
        "model.adapter_targets": list(targets),
    }
    named = replace(named, facts=replace(context.facts, values=context.facts.values | facts))
    gone_on, its_need = sized("qlora", named)
    assert gone_on.start_adapter == adapter.path
    assert (gone_on.lora_rank, gone_on.lora_alpha, gone_on.lora_targets) == (24, 48, targets)
    fixed = with_overrides(context, lora_rank=24, lora_alpha=48, lora_targets=targets)
    new, need = sized("qlora", fixed)
    assert replace(gone_on, start_adapter=None) == new
    assert its_need == need
