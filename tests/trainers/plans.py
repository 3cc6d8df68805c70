"""Plans for the tests of what is around the training."""

from typing import Any

from trainers.method import METHODS, Method
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


def of_method(method: Method, size: int = 8) -> dict[str, Any]:
    """What makes a plan one of this method, as its row in METHODS says; `size` for each number that it needs."""
    row = METHODS[method]
    needed = {name: ["all-linear"] if name == "lora_targets" else size for name in row.needs}
    checkpointing = {} if row.recomputes else {"gradient_checkpointing": False}
    return {"method": method, "quantization": row.quantization, **needed, **checkpointing}
