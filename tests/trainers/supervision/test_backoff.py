from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.plans import full_plan, lora_plan
from trainers.plan import plan_problems
from trainers.supervision.backoff import REASON, next_step, what_is_left


@given(
    micro=st.integers(1, 48),
    accumulation=st.integers(1, 16),
    checkpointing=st.booleans(),
    evaluation=st.integers(1, 16),
    accelerator=st.sampled_from(["cpu", "cuda"]),
    loss=st.sampled_from(["full", "chunked", "liger"]),
    phase=st.sampled_from([None, "training", "evaluation"]),
)
def test_the_effective_batch_stays_and_the_ladder_ends(
    micro: int,
    accumulation: int,
    checkpointing: bool,
    evaluation: int,
    accelerator: str,
    loss: str,
    phase: str | None,
) -> None:
    plan = lora_plan(
        micro_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        gradient_checkpointing=checkpointing,
        eval_micro_batch_size=evaluation,
        accelerator=accelerator,
        loss_kernel=loss,
    )
    examples, steps = plan.global_batch_size, 0
    while (step := next_step(plan, phase)) is not None:
        assert step.changes
        assert all(step.plan.set_by[name] == REASON for name in step.changes)
        plan, steps = step.plan, steps + 1
        assert plan.global_batch_size == examples
        assert plan_problems(plan) == []
        assert steps < 20
    if phase != "evaluation":
        assert plan.micro_batch_size == 1
        assert plan.gradient_checkpointing


def test_the_micro_batch_goes_first_and_the_step_says_so() -> None:
    step = next_step(lora_plan(micro_batch_size=4, gradient_accumulation_steps=2, gradient_checkpointing=False))
    assert step is not None
    assert step.changes == {"micro_batch_size": (4, 2), "gradient_accumulation_steps": (2, 4)}
    assert step.said == "micro-batch 4 -> 2, accumulation 2 -> 4: each step still learns from 8 examples"


def test_an_evaluation_that_ran_out_shrinks_its_own_batch() -> None:
    step = next_step(lora_plan(micro_batch_size=4, eval_micro_batch_size=8), phase="evaluation")
    assert step is not None
    assert step.changes == {"eval_micro_batch_size": (8, 4)}


def test_prefix_tuning_is_never_given_checkpointing() -> None:
    plan = full_plan(method="prefix", num_virtual_tokens=8, gradient_checkpointing=False)
    assert next_step(plan) is None
    assert "qlora" in what_is_left(plan)


def test_an_optimizer_step_in_backward_keeps_its_batch() -> None:
    plan = full_plan(optimizer_in_backward=True, micro_batch_size=4, gradient_checkpointing=True)
    assert next_step(plan) is None
    assert "--wish-method lora" in what_is_left(plan)
