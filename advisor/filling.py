"""From a variant to a complete plan: the set rules fill the fields, the estimator finds the largest micro-batch.

Batch arithmetic lives here: examples a packed row holds, rows of an epoch, rows of an optimizer step, steps of a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from advisor.estimate import Estimator
from advisor.estimate.runtime import Calibration
from advisor.facts import Devices, Facts
from advisor.model.new_tokens import new_token_ids
from advisor.model.spec import ModelSpec
from advisor.variants import Variant
from rules.engine import RuleBook, Trace
from rules.facts import BY_PATH
from trainers.plan import DatasetRef, Delivery, ModelRef, TrainingPlan

USEFUL_TOKENS_PER_FORWARD = 16_384
"""A larger micro-batch than this many tokens no longer makes a GPU faster; it only takes memory."""
USEFUL_TOKENS_PER_FORWARD_CPU = 2_048
PACKING_FILL = 0.95
"""Share of a packed row that best-fit-decreasing packing fills."""
EVAL_SHARE = 0.05
"""Part of the examples kept back for evaluation when no other set is given."""
PLAN_FIELDS = frozenset(TrainingPlan.__struct_fields__)
LIST_FIELDS = ("lora_targets", "lora_expert_targets", "modules_to_save")
MAX_ROUNDS = 3
"""Batch and epochs give the number of steps, which rules of the batch may read: repeated until it stands still."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same while candidates are built."""

    facts: Facts
    devices: Devices
    model: ModelSpec
    frame: dict[str, Any]
    """Plan fields that every candidate shares, from `plan_frame`."""
    book: RuleBook
    overrides: Mapping[str, Any] = {}
    """Plan fields that the user fixed."""
    calibrations: Mapping[str, Calibration] = {}
    """By method: what earlier runs on this device measured."""

    def estimator(self, plan: TrainingPlan) -> Estimator:
        """The memory of this model under a plan, corrected by what was measured."""
        calibration = self.calibrations.get(plan.method)
        return Estimator(self.model, plan, sm=self.facts.get("gpu.sm"), calibration=calibration)


def fill_plan(variant: Variant, context: Context, steps: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plan fields by the set rules, and the step facts that they lead to.

    `steps` is a first guess of those facts (an earlier variant's); a wrong guess only costs another round.
    """
    found = dict(steps)
    for _ in range(MAX_ROUNDS):
        values, _ = context.book.fill(*_fill_inputs(variant, context, found), traced=False)
        values |= _fixed(variant, context)
        assumed, found = found, step_facts(values, context)
        if found == assumed:
            break
    return values, found


def explain_plan(
    plan: TrainingPlan, variant: Variant, context: Context, steps: Mapping[str, Any]
) -> tuple[TrainingPlan, tuple[Trace, ...]]:
    """The plan with the rule that set each field named in `set_by`, and the traces of all set rules."""
    _, traces = context.book.fill(*_fill_inputs(variant, context, steps))
    set_by = {name: trace.rule_id for trace in traces for name in trace.sets if name in PLAN_FIELDS}
    set_by |= dict.fromkeys(("micro_batch_size", "gradient_accumulation_steps"), "largest-that-fits")
    set_by |= dict.fromkeys(context.overrides, "user")
    return msgspec.structs.replace(plan, set_by=set_by), traces


def _fixed(variant: Variant, context: Context) -> dict[str, Any]:
    return variant.fields | dict(context.overrides)


def _fill_inputs(variant: Variant, context: Context, steps: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    fixed = _fixed(variant, context)
    known = {
        f"plan.{name}": value for name, value in fixed.items() if f"plan.{name}" in BY_PATH and value is not None
    }
    return context.facts.values | known | dict(steps), list(fixed)


def step_facts(values: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`plan.global_batch_size` and, where the amount of data is known, `plan.num_steps`."""
    rows = row_count(context.facts, values)
    facts: dict[str, Any] = {"plan.global_batch_size": _global_rows(values, context)}
    if rows is not None:
        facts["plan.num_steps"] = num_steps(rows, values, facts["plan.global_batch_size"])
    return facts


def examples_per_row(facts: Facts, values: Mapping[str, Any]) -> float:
    """Examples that one row of a batch holds: 1, or how many a packed row takes on average."""
    mean = facts.get("data.len_mean")
    if not values.get("packing") or not mean:
        return 1.0
    longest = float(values["max_seq_len"])
    return max(1.0, longest * PACKING_FILL / min(float(mean), longest))


def row_count(facts: Facts, values: Mapping[str, Any]) -> int | None:
    """Rows of one epoch after the evaluation part is kept back and examples are packed; None without data."""
    examples: int | None = facts.get("data.examples")
    if examples is None:
        return None
    kept = examples if facts.get("data.has_eval") else math.ceil(examples * (1 - EVAL_SHARE))
    return max(1, math.ceil(kept / examples_per_row(facts, values)))


def num_steps(rows: int, values: Mapping[str, Any], global_rows: int) -> int:
    """Optimizer steps of the whole run."""
    if values.get("max_steps"):
        return int(values["max_steps"])
    return max(1, math.ceil(rows * float(values.get("num_epochs", 1)) / global_rows))


def _global_rows(values: Mapping[str, Any], context: Context) -> int:
    """Rows of one optimizer step: the wished examples per step over examples per row, at least one per GPU."""
    wished = int(values.get("global_batch_size", 16))
    rows = max(1, round(wished / examples_per_row(context.facts, values)))
    count = context.devices.count
    return max(count, math.ceil(rows / count) * count)


def size_plan(values: dict[str, Any], variant: Variant, context: Context) -> tuple[TrainingPlan, int]:
    """The plan with the largest micro-batch that divides the batch of one GPU and fits, and its need in bytes."""
    per_gpu = _global_rows(values, context) // context.devices.count
    accumulates = not values.get("optimizer_in_backward")
    smallest = _make_plan(values, 1, per_gpu if accumulates else 1, context)
    estimator = context.estimator(smallest)
    limit = context.devices.available_bytes
    micro = int(context.overrides.get("micro_batch_size", 0))
    if not micro:
        ceiling = min(per_gpu, max(1, _useful_tokens(context) // _typical_length(values, context)))
        sizes = (size for size in range(ceiling, 1, -1) if per_gpu % size == 0 or not accumulates)
        fitting = (size for size in sizes if limit is None or estimator.need_bytes(size) <= variant.share * limit)
        micro = next(fitting, 1)
    sized = msgspec.structs.replace(
        smallest,
        micro_batch_size=micro,
        gradient_accumulation_steps=max(1, per_gpu // micro) if accumulates else 1,
        eval_micro_batch_size=min(micro, int(values.get("eval_micro_batch_size", micro))),
    )
    return sized, estimator.need_bytes(micro)


def _useful_tokens(context: Context) -> int:
    return USEFUL_TOKENS_PER_FORWARD_CPU if context.devices.accelerator == "cpu" else USEFUL_TOKENS_PER_FORWARD


def _typical_length(values: Mapping[str, Any], context: Context) -> int:
    """Tokens of a usual row: the sequence length when packed, else the mean length where it is known."""
    longest = int(values["max_seq_len"])
    mean = context.facts.get("data.len_mean")
    return longest if values.get("packing") or not mean else min(longest, max(1, math.ceil(mean)))


def _make_plan(values: dict[str, Any], micro: int, accumulation: int, context: Context) -> TrainingPlan:
    known = {name: value for name, value in values.items() if name in PLAN_FIELDS}
    known["eval_micro_batch_size"] = min(micro, int(known.get("eval_micro_batch_size", micro)))
    for name in LIST_FIELDS:
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    if values.get("train_new_tokens") and not known.get("trainable_token_indices"):
        known["trainable_token_indices"] = new_token_ids(context.model, context.facts.get("data.new_tokens") or 0)
    artifact = values.get("artifact", "full_model" if values["method"] == "full" else "adapter")
    known |= context.frame
    return TrainingPlan(
        **known
        | {
            "micro_batch_size": micro,
            "gradient_accumulation_steps": accumulation,
            "delivery": Delivery(
                artifact=artifact,
                weights=values.get("weights", "16bit"),
                engine=values.get("engine", "transformers"),
                serve_command=values.get("serve_command"),
            ),
        }
    )


def plan_frame(model: ModelSpec, devices: Devices, dataset: DatasetRef | None, output_dir: str) -> dict[str, Any]:
    """The plan fields that are the same for every candidate: what is trained, on what, where."""
    uuids = tuple(gpu.uuid for gpu in devices.gpus if gpu.uuid)
    return {
        "model": ModelRef(
            name=model.path or model.name,
            gguf_file=model.gguf_file,
            num_params=model.num_params,
            max_position_embeddings=model.max_position_embeddings,
        ),
        "dataset": dataset,
        "output_dir": output_dir,
        "device_uuids": uuids if devices.num_nodes == 1 else (),
    }
