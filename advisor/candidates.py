"""The plans worth judging: for each method the variants from fastest to leanest, and the first that fits.

A variant fixes the structural axes (sharding, checkpointing, optimizer, offload); the set rules of the book fill
every other field; the estimators say what it needs; the micro-batch is the largest that fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from advisor.estimate import Estimator, estimate_memory, estimate_storage, estimate_time
from advisor.estimate.result import MemoryEstimate, StorageEstimate
from advisor.facts import Devices, Facts
from advisor.model.params import trainable_params
from advisor.model.spec import ModelSpec
from advisor.probe import lookup
from advisor.recommendation import Attempt, Candidate
from rules.engine import RuleBook, Trace
from rules.facts import BY_PATH
from trainers.plan import DatasetRef, Delivery, Method, ModelRef, TrainingPlan

COMFORTABLE_SHARE = 0.7
"""Without checkpointing a plan may take this share of the free memory (rule R56 of the book says why)."""
USEFUL_TOKENS_PER_FORWARD = 16_384
"""A larger micro-batch than this many tokens no longer makes a GPU faster; it only takes memory."""
USEFUL_TOKENS_PER_FORWARD_CPU = 2_048
PACKING_FILL = 0.95
"""Share of a packed row that best-fit-decreasing packing fills."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a method; `fields` are plan fields that the set rules may not change."""

    name: str
    fields: dict[str, Any]
    share: float = 1.0
    """How much of the available memory it may take."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same while candidates are built."""

    facts: Facts
    devices: Devices
    model: ModelSpec
    dataset: DatasetRef | None
    output_dir: str
    book: RuleBook
    overrides: Mapping[str, Any] = {}
    """Plan fields that the user fixed."""


def methods_to_judge(facts: Facts) -> tuple[Method, ...]:
    """Full, LoRA and QLoRA always; prefix tuning and bottleneck adapters only when asked for."""
    wished = facts.get("wish.method")
    extra: tuple[Method, ...] = (wished,) if wished in ("prefix", "adapter") else ()
    return ("lora", "qlora", "full", *extra)


def variants(method: Method, devices: Devices) -> Iterator[Variant]:
    """Ways to run `method` on these devices, the fastest first, the leanest last."""
    base: dict[str, Any] = {
        "method": method,
        "quantization": "nf4" if method == "qlora" else "none",
        "accelerator": devices.accelerator,
        "num_gpus": devices.count,
        "num_nodes": devices.num_nodes if devices.gpus else 1,
    }
    for sharding, offload in _shardings(method, devices):
        shared = base | {"sharding": sharding, "cpu_offload": offload}
        place = sharding if sharding != "none" else "one device"
        place += " with CPU offload" if offload else ""
        for name, fields, share in _memory_steps(method, devices, sharding, offload):
            yield Variant(name=f"{place}, {name}", fields=shared | fields, share=share)


def _shardings(method: Method, devices: Devices) -> tuple[tuple[str, bool], ...]:
    if devices.count == 1:
        return (("none", False),)
    if method in ("prefix", "adapter"):
        return (("ddp", False),)
    sharded = (("fsdp", False), ("fsdp", True))
    return sharded if method == "full" else (("ddp", False), *sharded)


def _memory_steps(
    method: Method, devices: Devices, sharding: str, offload: bool
) -> Iterator[tuple[str, dict[str, Any], float]]:
    """(name, plan fields, share of memory it may take) from fastest to leanest."""
    plain: dict[str, Any] = {"gradient_checkpointing": False}
    saving: dict[str, Any] = {"gradient_checkpointing": True}
    if method == "full":
        yield from _full_steps(devices, sharding, offload)
        return
    if not offload:
        yield "activations kept", plain, COMFORTABLE_SHARE
    if method != "prefix":
        yield "gradient checkpointing", saving, 1.0
    else:
        yield "activations kept, tight", plain, 1.0


def _full_steps(devices: Devices, sharding: str, offload: bool) -> Iterator[tuple[str, dict[str, Any], float]]:
    saving: dict[str, Any] = {"gradient_checkpointing": True, "optimizer_in_backward": False}
    fused = {"optimizer": "adamw_torch_fused"}
    if not offload:
        plain = {"gradient_checkpointing": False, "optimizer_in_backward": False}
        yield "fp32 master weights", plain | fused | {"weights_dtype": "fp32"}, COMFORTABLE_SHARE
    yield "fp32 master weights, checkpointing", saving | fused | {"weights_dtype": "fp32"}, 1.0
    if devices.accelerator == "cpu" or offload:
        return
    yield "bf16 weights, checkpointing", saving | fused | {"weights_dtype": "bf16"}, 1.0
    eight_bit = {"weights_dtype": "bf16", "optimizer": "adamw_8bit"}
    yield "bf16 weights, 8-bit Adam, checkpointing", saving | eight_bit, 1.0
    if sharding == "none":
        leanest = eight_bit | {"optimizer": "paged_adamw_8bit"}
        yield (
            "bf16 weights, paged 8-bit Adam stepped in backward, checkpointing",
            saving | leanest | {"optimizer_in_backward": True},
            1.0,
        )


def build_candidate(method: Method, context: Context) -> Candidate:
    """The best variant of one method: the first that fits and that no rule vetoes, else the leanest one."""
    attempts: list[Attempt] = []
    leanest: Candidate | None = None
    for variant in variants(method, context.devices):
        candidate = _try_variant(variant, context)
        if candidate is None:
            continue
        within = candidate.available_bytes is None or (
            candidate.memory.device.high <= variant.share * candidate.available_bytes
        )
        usable = candidate.fits and within and not candidate.vetoes
        note = "" if usable else _why_next(candidate, variant)
        attempts.append(
            Attempt(
                variant=variant.name,
                device_high_bytes=candidate.memory.device.high,
                fits=candidate.fits and within,
                note=note,
            )
        )
        if usable:
            return msgspec.structs.replace(candidate, attempts=tuple(attempts))
        if leanest is None or _preferred_failure(candidate, leanest):
            leanest = candidate
    assert leanest is not None, f"no variant of {method} could be built"
    return msgspec.structs.replace(leanest, attempts=tuple(attempts))


def _preferred_failure(candidate: Candidate, other: Candidate) -> bool:
    """Of two variants that cannot be used, show the one that is nearer to use."""
    return (not candidate.fits, candidate.memory.device.high) < (not other.fits, other.memory.device.high)


def _why_next(candidate: Candidate, variant: Variant) -> str:
    if candidate.vetoes:
        return candidate.vetoes[0].title
    if candidate.fits:
        return f"takes more than {variant.share:.0%} of the free memory"
    return "needs more than the free memory"


def _try_variant(variant: Variant, context: Context) -> Candidate:
    fixed = variant.fields | dict(context.overrides)
    values, settings = _fill(fixed, context)
    plan = _largest_that_fits(values, settings, variant, context)
    return judge_plan(plan, context, settings)


def judge_plan(plan: TrainingPlan, context: Context, settings: tuple[Trace, ...] = ()) -> Candidate:
    """Estimate and judge one complete plan."""
    memory = _memory(plan, context)
    available = context.devices.available_bytes
    fits = available is None or memory.device.high <= available
    storage = estimate_storage(context.model, plan)
    facts = context.facts.values | plan_facts(plan, memory, storage, fits, context)
    vetoes = context.book.judge(facts, effects=("veto",), only_fired=True)
    return Candidate(
        method=plan.method,
        plan=msgspec.structs.replace(plan, predicted_peak_bytes=memory.device.high),
        memory=memory,
        time=None,
        storage=storage,
        available_bytes=available,
        fits=fits,
        score=0,
        vetoes=vetoes,
        settings=settings,
    )


def with_time(candidate: Candidate, context: Context) -> Candidate:
    """The same candidate with its duration predicted; needs a known card and the amount of data."""
    gpus = context.devices.gpus
    card = lookup(gpus[0].name, gpus[0].total_bytes) if gpus else None
    facts = context.facts
    time = estimate_time(
        context.model,
        candidate.plan,
        card,
        examples=facts.get("data.examples"),
        total_tokens=facts.get("data.total_tokens"),
        len_mean=facts.get("data.len_mean"),
    )
    return msgspec.structs.replace(candidate, time=time)


def _fill(fixed: dict[str, Any], context: Context) -> tuple[dict[str, Any], tuple[Trace, ...]]:
    """Let the set rules fill the plan: once for the batch and epochs, again when the number of steps is known."""
    start = context.facts.values | {
        f"plan.{name}": value for name, value in fixed.items() if f"plan.{name}" in BY_PATH and value is not None
    }
    first, _ = context.book.fill(start, fixed=fixed.keys(), traced=False)
    values = first | fixed
    rows = row_count(context.facts, values)
    step_facts: dict[str, Any] = {"plan.global_batch_size": _global_rows(values, context)}
    if rows is not None:
        step_facts["plan.num_steps"] = _num_steps(rows, values, step_facts["plan.global_batch_size"])
    second, traces = context.book.fill(start | step_facts, fixed=fixed.keys())
    return second | fixed, traces


def examples_per_row(facts: Facts, values: Mapping[str, Any]) -> float:
    """Examples that one row of a batch holds: 1, or how many a packed row takes on average."""
    mean = facts.get("data.len_mean")
    if not values.get("packing") or not mean:
        return 1.0
    return max(1.0, values["max_seq_len"] * PACKING_FILL / min(mean, values["max_seq_len"]))


def row_count(facts: Facts, values: Mapping[str, Any]) -> int | None:
    """Rows of one epoch after the evaluation part is kept back and examples are packed; None without data."""
    examples = facts.get("data.examples")
    if examples is None:
        return None
    kept = examples if facts.get("data.has_eval") else math.ceil(examples * 0.95)
    return max(1, math.ceil(kept / examples_per_row(facts, values)))


def _num_steps(rows: int, values: Mapping[str, Any], global_rows: int) -> int:
    if values.get("max_steps"):
        return int(values["max_steps"])
    return max(1, math.ceil(rows * float(values.get("num_epochs", 1)) / global_rows))


def _global_rows(values: Mapping[str, Any], context: Context) -> int:
    """Rows of one optimizer step: the wished examples per step over examples per row, at least one per GPU."""
    wished = int(values.get("global_batch_size", 16))
    rows = max(1, round(wished / examples_per_row(context.facts, values)))
    count = context.devices.count
    return max(count, math.ceil(rows / count) * count)


def _largest_that_fits(
    values: dict[str, Any], settings: tuple[Trace, ...], variant: Variant, context: Context
) -> TrainingPlan:
    """The plan with the largest micro-batch that divides the batch of one GPU and fits its share of the memory."""
    per_gpu = _global_rows(values, context) // context.devices.count
    accumulates = not values.get("optimizer_in_backward")
    smallest = _make_plan(values, settings, 1, per_gpu if accumulates else 1, context)
    if "micro_batch_size" in context.overrides:
        micro = int(context.overrides["micro_batch_size"])
        return _make_plan(values, settings, micro, max(1, per_gpu // micro), context)
    on_cpu = context.devices.accelerator == "cpu"
    useful = USEFUL_TOKENS_PER_FORWARD_CPU if on_cpu else USEFUL_TOKENS_PER_FORWARD
    ceiling = min(per_gpu, max(1, useful // _typical_length(values, context)))
    limit = context.devices.available_bytes
    estimator = Estimator(context.model, smallest, sm=context.facts.get("gpu.sm"))
    for size in range(ceiling, 1, -1):
        if (per_gpu % size == 0 or not accumulates) and (
            limit is None or estimator.need_bytes(size) <= variant.share * limit
        ):
            return _make_plan(values, settings, size, per_gpu // size if accumulates else 1, context)
    return smallest


def _typical_length(values: Mapping[str, Any], context: Context) -> int:
    """Tokens of a usual row: the sequence length when packed, else the mean length where it is known."""
    longest = int(values["max_seq_len"])
    mean = context.facts.get("data.len_mean")
    return longest if values.get("packing") or not mean else min(longest, max(1, math.ceil(mean)))


def _make_plan(
    values: dict[str, Any], settings: tuple[Trace, ...], micro: int, accumulation: int, context: Context
) -> TrainingPlan:
    model = context.model
    set_by = {name: trace.rule_id for trace in settings for name in trace.sets}
    set_by |= {"micro_batch_size": "largest-that-fits", "gradient_accumulation_steps": "largest-that-fits"}
    set_by |= dict.fromkeys(context.overrides, "user")
    known = {name: value for name, value in values.items() if name in TrainingPlan.__struct_fields__}
    known["eval_micro_batch_size"] = min(micro, int(known.get("eval_micro_batch_size", micro)))
    for name in ("lora_targets", "lora_expert_targets", "modules_to_save"):
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    return TrainingPlan(
        **known
        | {
            "micro_batch_size": micro,
            "gradient_accumulation_steps": accumulation,
            "model": ModelRef(
                name=model.path or model.name,
                gguf_file=model.gguf_file,
                num_params=model.num_params,
                max_position_embeddings=model.max_position_embeddings,
            ),
            "dataset": context.dataset,
            "output_dir": context.output_dir,
            "device_uuids": tuple(gpu.uuid for gpu in context.devices.gpus if gpu.uuid)
            if context.devices.num_nodes == 1
            else (),
            "delivery": Delivery(
                artifact=values.get("artifact", "full_model" if values["method"] == "full" else "adapter"),
                weights=values.get("weights", "16bit"),
                engine=values.get("engine", "transformers"),
            ),
            "set_by": {name: rule for name, rule in set_by.items() if name in TrainingPlan.__struct_fields__},
        }
    )


def _memory(plan: TrainingPlan, context: Context) -> MemoryEstimate:
    return estimate_memory(context.model, plan, sm=context.facts.get("gpu.sm"))


def plan_facts(
    plan: TrainingPlan, memory: MemoryEstimate, storage: StorageEstimate, fits: bool, context: Context
) -> dict[str, Any]:
    """The `plan.*` facts of one complete plan."""
    facts: dict[str, Any] = {}
    for name in TrainingPlan.__struct_fields__:
        value = getattr(plan, name)
        if isinstance(value, tuple):
            value = list(value)
        if isinstance(value, bool | int | float | str | list) and value is not None:
            facts[f"plan.{name}"] = value
    available = context.devices.available_bytes
    variants_kept = context.facts.get("storage.variants") or 1
    rows = row_count(context.facts, {"packing": plan.packing, "max_seq_len": plan.max_seq_len})
    facts |= {
        "plan.global_batch_size": plan.global_batch_size,
        "plan.merge": plan.delivery.artifact == "merged_model",
        "plan.engine": plan.delivery.engine,
        "plan.weights": plan.delivery.weights,
        "plan.need_bytes": memory.device.high,
        "plan.fits": fits,
        "plan.need_share": memory.device.high / available if available else None,
        "plan.host_bytes": memory.host_bytes,
        "plan.trainable_params": trainable_params(context.model, plan),
        "plan.artifact_bytes": storage.artifact_bytes,
        "plan.variants_bytes": storage.artifact_bytes * variants_kept,
        "plan.checkpoint_bytes": storage.checkpoint_bytes,
        "plan.disk_bytes": storage.peak_output_bytes,
    }
    if rows is not None:
        facts["plan.num_steps"] = _num_steps(
            rows, {"max_steps": plan.max_steps, "num_epochs": plan.num_epochs}, plan.global_batch_size
        )
    return {path: value for path, value in facts.items() if value is not None and path in BY_PATH}
