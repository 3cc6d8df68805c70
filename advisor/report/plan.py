"""The plan as rows: only the fields that its method uses, grouped, each with the rule that set it."""

from __future__ import annotations

import msgspec

from advisor.report import words
from trainers.plan import TrainingPlan

GROUPS: dict[str, tuple[str, ...]] = {
    "method": (
        "method",
        "quantization",
        "compute_dtype",
        "weights_dtype",
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "lora_targets",
        "lora_expert_targets",
        "use_rslora",
        "use_dora",
        "lora_init",
        "loraplus_lr_ratio",
        "modules_to_save",
        "trainable_token_indices",
        "num_virtual_tokens",
        "adapter_bottleneck",
    ),
    "batch": (
        "micro_batch_size",
        "gradient_accumulation_steps",
        "eval_micro_batch_size",
        "max_seq_len",
        "packing",
        "length_grouping",
        "loss_on",
        "num_epochs",
        "max_steps",
    ),
    "optimiser": (
        "optimizer",
        "optimizer_in_backward",
        "learning_rate",
        "lr_scheduler",
        "min_lr_ratio",
        "warmup_steps",
        "weight_decay",
        "max_grad_norm",
        "neftune_noise_alpha",
    ),
    "memory": ("gradient_checkpointing", "activation_offload", "attention", "loss_kernel"),
    "devices": ("accelerator", "num_gpus", "num_nodes", "sharding", "cpu_offload"),
    "cadence": ("save_steps", "save_total_limit", "eval_steps", "logging_steps", "seed", "dataloader_workers"),
}
QUIET_WHEN_OFF = (
    "lora_expert_targets",
    "use_rslora",
    "use_dora",
    "modules_to_save",
    "trainable_token_indices",
    "length_grouping",
    "optimizer_in_backward",
    "activation_offload",
    "cpu_offload",
    "min_lr_ratio",
)
"""Options that are mentioned only when they are on."""
QUIET_AT_DEFAULT = ("lora_init", "num_nodes", "logging_steps", "dataloader_workers", "quantization")


class PlanRow(msgspec.Struct, frozen=True):
    """One setting: its field, its value for a person, and what set it."""

    field: str
    value: str
    set_by: str


def plan_groups(plan: TrainingPlan) -> list[tuple[str, list[PlanRow]]]:
    """Groups of settings, in the order in which they are read."""
    groups = []
    for group, fields in GROUPS.items():
        rows = [_row(plan, field) for field in fields if _shown(plan, field)]
        if group == "batch":
            rows.insert(2, PlanRow("global_batch_size", words.plain(plan.global_batch_size), ""))
        groups.append((group, rows))
    return groups


def _shown(plan: TrainingPlan, field: str) -> bool:
    value = getattr(plan, field)
    if value is None or (field in QUIET_WHEN_OFF and not value):
        return False
    return field not in QUIET_AT_DEFAULT or value != _default(field)


def _default(field: str) -> object:
    places = dict(zip(TrainingPlan.__struct_fields__[::-1], TrainingPlan.__struct_defaults__[::-1], strict=False))
    return places.get(field)


def _row(plan: TrainingPlan, field: str) -> PlanRow:
    value = getattr(plan, field)
    text = f"{value:,}" if field == "max_seq_len" else words.plain(value)
    return PlanRow(field, text, plan.set_by.get(field, ""))
