"""Plans for the tests of what is around the training."""

from typing import Any

from trainers.plan import TrainingPlan, plan_from_dict


def lora_plan(**changes: Any) -> TrainingPlan:
    base = {
        "model": {"name": "some-model"},
        "dataset": {"source": "org/data"},
        "method": "lora",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_targets": ["all-linear"],
        "accelerator": "cpu",
    }
    return plan_from_dict(base | changes)


def full_plan(**changes: Any) -> TrainingPlan:
    return plan_from_dict(
        {
            "model": {"name": "some-model"},
            "dataset": {"source": "org/data"},
            "method": "full",
            "accelerator": "cpu",
            "learning_rate": 1e-5,
        }
        | changes
    )
