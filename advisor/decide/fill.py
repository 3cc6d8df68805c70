"""From a variant to a complete plan: the set rules fill the fields, the estimator finds the largest micro-batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.decide.batch import (
    Examples,
    RunLength,
    accumulation_steps,
    micro_batch_sizes,
    num_steps,
    rows_per_step,
)
from advisor.decide.facts import Devices, Facts
from advisor.decide.reasons import set_by
from advisor.decide.variants import Variant
from advisor.estimate import Estimator
from advisor.estimate.runtime import Calibration
from advisor.model.new_tokens import new_token_ids
from advisor.model.spec import ModelSpec
from rules.engine import RuleBook, RuleError, RuleProblem, Trace
from rules.facts import BY_PATH
from trainers.handover.serving import planned_command
from trainers.plan import (
    Artifact,
    DatasetRef,
    DeliveredWeights,
    Delivery,
    Engine,
    ModelRef,
    PositiveInt,
    ServedFormat,
    TrainingPlan,
)
from trainers.plan_parts import EVAL_FRACTION

PLAN_FIELDS = frozenset(TrainingPlan.__struct_fields__)
MAX_ROUNDS = 3
"""Batch and epochs give the number of steps, which rules of the batch may read: repeated until it stands still."""


class PlanFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The plan fields that are the same for every candidate: what is trained, on what, where."""

    model: ModelRef
    dataset: DatasetRef | None
    output_dir: str
    device_uuids: tuple[str, ...]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same while candidates are built."""

    facts: Facts
    devices: Devices
    model: ModelSpec
    frame: PlanFrame
    book: RuleBook
    overrides: Mapping[str, Any] = {}
    """Plan fields that the user fixed."""
    calibrations: Mapping[str, Calibration] = {}
    """By method: what earlier runs on this device measured."""
    paces: Mapping[str, Calibration] = {}
    """By method: how fast they were against the prediction."""
    rank_in_memory: int | None = None
    """The largest LoRA rank that the devices hold; None where memory sets no limit."""

    @property
    def examples(self) -> Examples:
        """The data as batch arithmetic sees them."""
        return Examples(
            count=self.facts.get("data.examples"),
            mean_tokens=self.facts.get("data.len_mean"),
            eval_fraction=self._eval_fraction,
            are_split=self._are_split,
        )

    @property
    def _are_split(self) -> bool:
        """Whether texts longer than a row become several; where no dataset is named its kind tells."""
        dataset = self.frame.dataset
        return self.facts.get("data.kind") == "raw_text" if dataset is None else dataset.format == "text"

    @property
    def _eval_fraction(self) -> float:
        """The part of the examples that the run keeps back; nothing where an evaluation set is named."""
        dataset = self.frame.dataset
        if dataset is None:
            return 0.0 if self.facts.get("data.has_eval") else EVAL_FRACTION
        return 0.0 if dataset.eval_files or dataset.eval_source else dataset.eval_fraction

    def estimator(self, plan: TrainingPlan) -> Estimator:
        """The memory of this model under a plan, corrected by what was measured."""
        calibration = self.calibrations.get(plan.method)
        return Estimator(
            self.model,
            plan,
            sm=self.facts.get("gpu.sm"),
            calibration=calibration,
            room_bytes=self.devices.available_bytes,
        )


class _BesideThePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What set rules say that is no field of the plan itself but leads to some."""

    global_batch_size: int
    """Examples of one optimizer step."""
    train_new_tokens: bool
    artifact: Artifact
    weights: DeliveredWeights
    engine: Engine
    serve_max_loras: PositiveInt = 1
    serve_max_cpu_loras: PositiveInt = 1
    serve_quantization: ServedFormat = "none"


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A variant with every field filled in, but for the size of its batches."""

    plan: TrainingPlan
    run_length: RunLength


def fill_plan(variant: Variant, context: Context, assumed: RunLength) -> Filled:
    """The plan by the set rules, and the run length that it leads to.

    `assumed` is a first guess of that length (an earlier variant's); a wrong guess only costs another round.
    Raises RuleError when a rule sets a field to what no plan can hold.
    """
    for _ in range(MAX_ROUNDS):
        rule_values, _ = context.book.fill(*_fill_inputs(variant, context, assumed), traced=False)
        filled = _filled(rule_values, variant, context)
        if filled.run_length == assumed:
            break
        assumed = filled.run_length
    return filled


def explain_plan(
    plan: TrainingPlan, variant: Variant, context: Context, run_length: RunLength
) -> tuple[TrainingPlan, tuple[Trace, ...]]:
    """The plan with what chose each setting named in `set_by`, and the traces of all set rules."""
    _, traces = context.book.fill(*_fill_inputs(variant, context, run_length))
    reasons = set_by(plan, variant.axes, traces, context.overrides, context.facts.get("wish.method"))
    return msgspec.structs.replace(plan, set_by=reasons), traces


def _fixed(variant: Variant, context: Context) -> dict[str, Any]:
    return variant.axes.fixed() | dict(context.overrides)


def _fill_inputs(variant: Variant, context: Context, run_length: RunLength) -> tuple[dict[str, Any], list[str]]:
    """Facts and names of fixed fields, as the rule book takes them."""
    fixed = _fixed(variant, context)
    fixed_facts = {
        f"plan.{name}": value for name, value in fixed.items() if f"plan.{name}" in BY_PATH and value is not None
    }
    held = {} if context.rank_in_memory is None else {"plan.rank_in_memory": context.rank_in_memory}
    return context.facts.values | fixed_facts | held | run_length.facts(), list(fixed)


def _filled(rule_values: Mapping[str, Any], variant: Variant, context: Context) -> Filled:
    """The values of the rules as a plan, which checks each of them. Raises RuleError for one that is not lawful."""
    by_rules = {name: value for name, value in rule_values.items() if name in PLAN_FIELDS}
    fixed = _fixed(variant, context)
    fixed_beside = {name: fixed.pop(name) for name in _BesideThePlan.__struct_fields__ if name in fixed}
    fields = by_rules | fixed | msgspec.structs.asdict(context.frame)
    try:
        plan = msgspec.convert(fields, TrainingPlan)
        beside = msgspec.convert(dict(rule_values) | fixed_beside, _BesideThePlan)
    except msgspec.ValidationError as error:
        raise RuleError(_not_lawful(error)) from error
    if beside.train_new_tokens and not plan.trainable_token_indices:
        ids = new_token_ids(context.model, context.facts.get("data.new_tokens") or 0)
        plan = msgspec.structs.replace(plan, trainable_token_indices=ids)
    delivery = Delivery(
        artifact=beside.artifact,
        weights=beside.weights,
        engine=beside.engine,
        max_loras=beside.serve_max_loras,
        max_cpu_loras=beside.serve_max_cpu_loras,
        quantization=beside.serve_quantization,
    )
    plan = msgspec.structs.replace(plan, delivery=delivery)
    plan = msgspec.structs.replace(
        plan, delivery=msgspec.structs.replace(delivery, serve_command=planned_command(plan))
    )
    rows = rows_per_step(plan, context.examples, beside.global_batch_size)
    steps = num_steps(plan, context.examples, rows)
    return Filled(plan=plan, run_length=RunLength(rows_per_step=rows, num_steps=steps))


def _not_lawful(error: msgspec.ValidationError) -> RuleProblem:
    return RuleProblem(
        what=tr("a setting is not lawful in a plan: {error}", error=error),
        why=tr("a set rule, or a value fixed by hand, gives it"),
        fix=tr("`sft-advisor rules list` shows the rule that sets this field; correct what it gives."),
    )


def size_plan(filled: Filled, variant: Variant, context: Context) -> tuple[TrainingPlan, int]:
    """The plan with the largest micro-batch that divides the batch of one GPU and fits, and its need in bytes.

    A micro-batch or a number of accumulation steps that the user fixed stays as it is.
    """
    plan = filled.plan
    available = context.devices.available_bytes
    allowed = math.inf if available is None else variant.share * available
    rows_per_device = (filled.run_length.rows_per_step or 1) // plan.num_gpus
    sizes = list(_sizes(plan, rows_per_device, context))
    if len(sizes) > 1 and context.estimator(plan).static_bytes > allowed:
        sizes = sizes[-1:]  # what stands whatever the batch is too large alone
    for size in sizes:
        sized = _sized(plan, rows_per_device, size, context)
        # An estimator of its own: the batch of evaluation and the gradients' copies follow from the micro-batch.
        need_bytes = context.estimator(sized).need_bytes()
        if need_bytes <= allowed:
            break
    return sized, need_bytes


def _sizes(plan: TrainingPlan, rows_per_device: int, context: Context) -> Iterable[int]:
    """Micro-batches to try, the one to keep where none fits last."""
    if "micro_batch_size" in context.overrides:
        return [plan.micro_batch_size]
    forwards = plan.gradient_accumulation_steps if _accumulation_is_fixed(context) else 1
    return micro_batch_sizes(plan, context.examples, max(1, rows_per_device // forwards))


def _sized(plan: TrainingPlan, rows_per_device: int, micro_batch_size: int, context: Context) -> TrainingPlan:
    sized = msgspec.structs.replace(
        plan,
        micro_batch_size=micro_batch_size,
        eval_micro_batch_size=min(micro_batch_size, plan.eval_micro_batch_size),
    )
    if _accumulation_is_fixed(context):
        return sized
    steps = accumulation_steps(plan, rows_per_device, micro_batch_size)
    return msgspec.structs.replace(sized, gradient_accumulation_steps=steps)


def _accumulation_is_fixed(context: Context) -> bool:
    return "gradient_accumulation_steps" in context.overrides


def plan_frame(model: ModelSpec, devices: Devices, dataset: DatasetRef | None, output_dir: str) -> PlanFrame:
    """What is trained, on what, where."""
    uuids = tuple(gpu.uuid for gpu in devices.gpus if gpu.uuid)
    return PlanFrame(
        model=ModelRef(
            name=model.path or model.name,
            gguf_file=model.gguf_file,
            num_params=model.num_params,
            max_position_embeddings=model.max_position_embeddings,
        ),
        dataset=dataset,
        output_dir=output_dir,
        device_uuids=uuids if devices.num_nodes == 1 else (),
    )
