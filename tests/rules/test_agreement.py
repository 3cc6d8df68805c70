"""What the rules decide, the other rooms can do: trainers take the plans, serving knows the same limits."""

from __future__ import annotations

import random

from rules.coverage import STRUCTURAL, Sampler
from rules.engine import RuleBook
from trainers.handover.serving import vllm_refusals
from trainers.methods import backend
from trainers.plan import ModelRef, TrainingPlan, plan_problems


def test_a_filled_plan_is_taken_by_its_trainer_or_vetoed(book: RuleBook) -> None:
    sampler = Sampler(book)
    vetoed = 0
    for number in range(300):
        facts = sampler.sample(random.Random(f"trainers {number}"))
        values, _ = book.fill(facts, fixed=STRUCTURAL, traced=False)
        method = facts["plan.method"]
        known = {name: value for name, value in values.items() if name in TrainingPlan.__struct_fields__}
        plan = TrainingPlan(
            model=ModelRef(name="m"),
            method=method,
            accelerator=facts["plan.accelerator"],
            num_gpus=facts["plan.num_gpus"],
            **known,
        )
        judged = book.judge(
            facts | {f"plan.{name}": value for name, value in values.items()}, effects=("veto",), only_fired=True
        )
        refused = [*backend(method).refusals(plan), *plan_problems(plan)]
        vetoed += bool(judged)
        assert judged or not refused, (facts, refused)
    assert 0 < vetoed < 300


def test_vllm_loads_every_adapter_that_the_rules_leave_apart(book: RuleBook) -> None:
    sampler = Sampler(book)
    served = 0
    for number in range(300):
        facts = sampler.sample(random.Random(f"vllm {number}")) | {"plan.method": "lora", "deploy.engine": "vllm"}
        values, _ = book.fill(facts, fixed=STRUCTURAL, traced=False)
        if values["merge"]:
            continue
        judged = book.judge(
            facts | {f"plan.{name}": value for name, value in values.items()}, effects=("veto",), only_fired=True
        )
        names = ("use_dora", "modules_to_save", "lora_rank", "lora_alpha", "lora_targets")
        plan = TrainingPlan(model=ModelRef(name="m"), method="lora", **{name: values[name] for name in names})
        refused = vllm_refusals(plan)
        assert judged or not refused, (facts, refused)
        if not refused:
            served += 1
    assert served
