"""What `set_by` says of each setting: the rule, the user, or the search that chose it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from advisor.base.language import later
from advisor.decide.variants import Axes
from rules.engine import Trace
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.supervision.backoff import REASON as AFTER_OUT_OF_MEMORY

USER = "user"
WISHED = "wish.method"
CHOSEN_BY: dict[str, str] = {
    "largest-that-fits": (
        later(
            "The largest micro-batch that divides the batch of one GPU, still makes the device "
            "faster and fits its free memory; the accumulation steps make up the rest of the "
            "batch."
        )
    ),
    "whole-batch": (
        later(
            "One forward pass holds all the rows that one GPU has of a batch: the batch sets its "
            "size, not the memory of the card. Larger batches learn less from the same examples; "
            "`sft-advisor explain global_batch_size`."
        )
    ),
    "fastest-that-fits": (
        later(
            "Of the variants of a method that fit and that no rule forbids, the one of the least "
            "predicted time decides sharding and gradient checkpointing; leaner weights and 8-bit "
            "states are taken only where all else does not fit, host memory also where it is predicted "
            "to win more than two percent of the time."
        )
    ),
    "devices-at-hand": (
        later("The devices that work together, of those found (sft-advisor probe) or described (--hardware).")
    ),
    "compared-methods": later(
        "One candidate of each method was judged by the rules; the report says why this one leads."
    ),
    "method": later("It follows from the method."),
    WISHED: later("The method that was asked for (--wish-method); it leads wherever no rule forbids it."),
    AFTER_OUT_OF_MEMORY: (
        later("The run was out of memory, and the supervisor changed this setting before it started the run again.")
    ),
    USER: later("Fixed by hand, by a flag of the plan or in the plan file; no rule changes it."),
}
"""Chosen by no single rule: word in `set_by` -> how it was chosen."""
BY_DEVICES = ("accelerator", "num_gpus", "num_nodes", "device_uuids")
BY_SIZE = ("micro_batch_size", "gradient_accumulation_steps")
PLAN_FIELDS = frozenset(TrainingPlan.__struct_fields__)
SAID_FOR = {
    "global_batch_size": "global_batch_size",
    "train_new_tokens": "trainable_token_indices",
    "artifact": "delivery.artifact",
    "weights": "delivery.weights",
    "engine": "delivery.engine",
    "serve_max_loras": "delivery.max_loras",
    "serve_max_cpu_loras": "delivery.max_cpu_loras",
    "serve_quantization": "delivery.quantization",
}
"""What rules set that is no field of the plan itself -> what it is for there."""


def set_by(
    plan: TrainingPlan,
    axes: Axes,
    traces: Iterable[Trace],
    overrides: Mapping[str, Any],
    wished_method: Method | None,
) -> dict[str, str]:
    """Setting -> id of the rule, question or search that chose it."""
    chosen = {
        SAID_FOR.get(name, name): trace.rule_id
        for trace in traces
        for name in trace.sets
        if name in PLAN_FIELDS or name in SAID_FOR
    }
    chosen |= dict.fromkeys(axes.fixed(), "fastest-that-fits")
    chosen |= dict.fromkeys(BY_DEVICES, "devices-at-hand")
    is_whole = plan.gradient_accumulation_steps == 1 and not plan.optimizer_in_backward
    chosen |= dict.fromkeys(BY_SIZE, "whole-batch" if is_whole else "largest-that-fits")
    chosen["method"] = WISHED if wished_method == axes.method else "compared-methods"
    chosen["quantization"] = "method"
    return chosen | dict.fromkeys(overrides, USER)
