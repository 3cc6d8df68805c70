"""Plans in outline, for hundreds of models in a second: what fits on a machine, and about how long it takes.

The rules fill each variant once, for one typical model, and every other model takes its place. Advice on one model
(`advisor.decide.advise`) judges it by its own rules; an outline leaves those out, and micro-batch and length are the
only fields that it searches.

    outline = Outline(hardware, answers, book)
    outline.reach(model, "lora", 4096)      -> Reach: fits, tight or no, bytes, seconds
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from advisor.decide.batch import RunLength, micro_batch_sizes
from advisor.decide.candidates import PLAN_FACTS
from advisor.decide.facts import build_facts, choose_devices
from advisor.decide.fill import Context, Filled, fill_plan, plan_frame, size_plan
from advisor.decide.pace import predicted_time
from advisor.decide.variants import Variant, variants
from advisor.estimate.memory import Estimator
from advisor.estimate.result import TimeEstimate
from advisor.estimate.runtime import Calibration
from advisor.model.params import default_lora_targets
from advisor.model.spec import ModelSpec
from advisor.probe.hardware import Hardware
from rules.engine import RuleBook
from trainers.method import Method
from trainers.packs_apart import SEEN_APART
from trainers.plan import ModelRef, TrainingPlan
from trainers.seen_to_run import was_seen_to_step

Verdict = Literal["fits", "tight", "no", "beyond"]
TIGHT_SHARE = 0.9
"""From this share of the free memory on a plan is tight: a display or another version takes the rest."""
_NAMES = {"name": "", "path": None, "notes": (), "max_position_embeddings": None}
"""What models of one shape differ by."""
TYPICAL_MODEL = "Qwen/Qwen3-8B"
"""A dense model of the middle: the settings of the rules that do not follow from the model are its."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """One method at one length on one machine."""

    method: Method
    """full, lora or qlora."""
    max_seq_len: int
    """Tokens of one sequence."""
    verdict: Verdict
    """fits; tight: above nine tenths of the free memory, or with weights in host memory; no; beyond the context."""
    need_bytes: int | None = None
    """Upper end of what one device must have free at a micro-batch of one; of the leanest way where none fits."""
    total_seconds: float | None = None
    """Predicted duration for the stated data; None where the speed of the device is not known."""
    tokens_per_second: float | None = None
    """Real tokens trained a second on all devices; None where the speed of the device is not known."""
    sharding: str | None = None
    """How it runs: none, ddp or fsdp; None where nothing fits."""


class Outline:
    """What a machine has room for, asked for any model, method and length."""

    def __init__(
        self,
        hardware: Hardware,
        answers: Mapping[str, Any],
        book: RuleBook,
        calibrations: Mapping[str, Calibration] | None = None,
    ) -> None:
        from advisor.model.catalog import from_catalog

        typical = from_catalog(TYPICAL_MODEL)
        if typical is None:
            raise AssertionError(f"{TYPICAL_MODEL} left the catalogue")
        devices = choose_devices(hardware)
        self.context = Context(
            facts=build_facts(dict(answers), hardware, devices, typical, None, hardware.software),
            devices=devices,
            model=typical,
            frame=plan_frame(typical, devices, None, "runs"),
            book=book,
            calibrations=calibrations or {},
        )
        self.available_bytes = devices.available_bytes
        """Free memory of the tightest device used; None: not known."""
        self._ram_bytes = hardware.host.ram_available_bytes
        self._rows: dict[tuple[Any, ...], dict[tuple[Method, int], Reach]] = {}
        self._ways: dict[Method, list[Variant]] = {}
        self._filled: dict[tuple[Any, ...], Filled] = {}
        self._run_length = RunLength()
        self._vetoed: dict[tuple[Any, ...], bool] = {}
        self._conditions = " ".join(rule.when for rule in book.rules)

    def row(self, model: ModelSpec, methods: tuple[Method, ...], lengths: tuple[int, ...]) -> Iterator[Reach]:
        """Every method at every length, worked out once for models that differ by name only."""
        longest = model.max_position_embeddings
        within = tuple(length for length in lengths if longest is None or length <= longest)
        shape = msgspec.structs.replace(model, **_NAMES)
        key = (msgspec.msgpack.encode(shape), methods, within)
        if key not in self._rows:
            self._rows[key] = {(cell.method, cell.max_seq_len): cell for cell in self._row(shape, methods, within)}
        cells = self._rows[key]
        for method in methods:
            for length in lengths:
                yield cells.get((method, length)) or Reach(method=method, max_seq_len=length, verdict="beyond")

    def _row(self, model: ModelSpec, methods: tuple[Method, ...], lengths: tuple[int, ...]) -> Iterator[Reach]:
        """A way that a shorter length had no room for is not tried again."""
        asked = _Asked(msgspec.structs.replace(self.context, model=model), _kind_of(model, self._conditions))
        for method in methods:
            first = 0
            for length in sorted(lengths):
                reach, first = self._reach(asked, method, length, first)
                yield reach

    def reach(self, model: ModelSpec, method: Method, length: int) -> Reach:
        """The fastest way in which the model fits by this method, or the leanest where none does."""
        return next(self.row(model, (method,), (length,)))

    def _reach(self, asked: _Asked, method: Method, length: int, first: int) -> tuple[Reach, int]:
        """The cell, and the first of the ways that may do for a longer sequence."""
        leanest: int | None = None
        ways = self._ways_of(method)
        for place in range(first, len(ways)):
            tried = self._tried(asked, ways[place], length)
            if tried is None:
                continue
            filled, need = tried
            leanest = need if leanest is None else min(leanest, need)
            if self._has_room(need, ways[place]):
                rival = ways[place + 1] if place + 1 < len(ways) else None
                return self._fastest(asked, ways[place], filled, need, rival), place
        return Reach(method=method, max_seq_len=length, verdict="no", need_bytes=leanest), len(ways)

    def _ways_of(self, method: Method) -> list[Variant]:
        if method not in self._ways:
            self._ways[method] = list(variants(method, self.context.devices))
        return self._ways[method]

    def _tried(self, asked: _Asked, way: Variant, length: int) -> tuple[Filled, int] | None:
        """The plan of this way, one row at a time, and what it needs; None where a rule forbids it."""
        filled = self._fill(way, length, asked.kind)
        placed = msgspec.structs.replace(filled, plan=_placed(filled.plan, asked.context.model))
        if self._is_vetoed(way, placed.plan, asked.kind):
            return None
        return placed, self._need_bytes(asked.context.estimator(placed.plan), way)

    def _has_room(self, need: int, way: Variant) -> bool:
        return self.available_bytes is None or need <= self.available_bytes * way.share

    def _fastest(self, asked: _Asked, way: Variant, filled: Filled, need: int, rival: Variant | None) -> Reach:
        """This way, or the next one of its form where memory cuts its micro-batch and the next is faster."""
        context = asked.context
        plan, _ = size_plan(filled, way, context)
        time = predicted_time(plan, context)
        rows = (filled.run_length.rows_per_step or 1) // plan.num_gpus
        is_cut = plan.micro_batch_size < next(micro_batch_sizes(plan, context.examples, rows))
        if is_cut and time is not None and rival is not None and _alike(way, rival):
            tried = self._tried(asked, rival, plan.max_seq_len)
            if tried is not None and self._has_room(tried[1], rival):
                other, _ = size_plan(tried[0], rival, context)
                its_time = predicted_time(other, context)
                if its_time is not None and its_time.step_seconds < time.step_seconds:
                    plan, time = other, its_time
        return self._fitting(plan, time, need)

    def _fill(self, way: Variant, length: int, kind: _Kind) -> Filled:
        """What the rules make of this way for sequences of this length and models of this kind."""
        key = (way.name, way.axes.method, length, kind)
        if key not in self._filled:
            facts = self._facts_of(kind) | {"wish.max_seq_len": length}
            context_facts = msgspec.structs.replace(self.context.facts, values=facts)
            told = msgspec.structs.replace(self.context, facts=context_facts)
            self._filled[key] = fill_plan(way, told, self._run_length)
            self._run_length = self._filled[key].run_length
        return self._filled[key]

    def _facts_of(self, kind: _Kind) -> dict[str, Any]:
        model_facts = {f"model.{name}": value for name, value in kind._asdict().items()}
        return self.context.facts.values | model_facts | {"model.lora_targets": list(kind.lora_targets)}

    def _is_vetoed(self, way: Variant, plan: TrainingPlan, kind: _Kind) -> bool:
        """Whether a rule forbids it, asked once for a kind of model: sizes and memory are not among the facts."""
        key = (way.name, way.axes.method, plan.max_seq_len, kind)
        if key not in self._vetoed:
            facts = self._facts_of(kind) | {path: getattr(plan, name) for path, name in PLAN_FACTS}
            facts["plan.optimizer_steps"] = was_seen_to_step(plan.optimizer, plan.sharding)
            sized = ("model.params", "model.active_params", "model.merged_bytes")
            known_facts = {path: value for path, value in facts.items() if value is not None and path not in sized}
            self._vetoed[key] = bool(self.context.book.firing(known_facts, ("veto",)))
        return self._vetoed[key]

    def _need_bytes(self, estimator: Estimator, variant: Variant) -> int:
        """At a micro-batch of one; weights alone that do not fit need no closer look."""
        available = self.available_bytes
        if available is not None and estimator.static_bytes > available:
            return estimator.static_bytes
        if variant.axes.cpu_offload and self._ram_bytes is not None and estimator.host_bytes(0) > self._ram_bytes:
            return max(estimator.need_bytes(), (available or 0) + 1)
        return estimator.need_bytes()

    def _fitting(self, plan: TrainingPlan, time: TimeEstimate | None, need: int) -> Reach:
        room = self.available_bytes
        tight = plan.cpu_offload or (room is not None and need > TIGHT_SHARE * room)
        return Reach(
            method=plan.method,
            max_seq_len=plan.max_seq_len,
            verdict="tight" if tight else "fits",
            need_bytes=need,
            total_seconds=time.total_seconds if time else None,
            tokens_per_second=time.tokens_per_second if time else None,
            sharding=plan.sharding,
        )


class _Kind(NamedTuple):
    """What rules of settings and vetoes read of a model, its size left out."""

    family: str
    is_moe: bool
    experts_fused: bool
    native_quant: str
    packs_apart: bool
    sdpa: bool
    lora_targets: tuple[str, ...]


class _Asked(NamedTuple):
    """One model, as the plans see it."""

    context: Context
    kind: _Kind


def _kind_of(model: ModelSpec, conditions: str) -> _Kind:
    """Families that no condition of a rule names are one kind."""
    return _Kind(
        family=model.model_type if f'"{model.model_type}"' in conditions else "",
        is_moe=model.is_moe,
        experts_fused=model.experts_fused,
        native_quant=model.native_quant,
        packs_apart=model.model_type in SEEN_APART,
        sdpa=not model.traits.no_sdpa,
        lora_targets=default_lora_targets(model),
    )


def _alike(way: Variant, other: Variant) -> bool:
    return (way.form, way.axes.sharding) == (other.form, other.axes.sharding)


def _placed(plan: TrainingPlan, model: ModelSpec) -> TrainingPlan:
    """The typical model's plan with this model in it, one row at a time."""
    return msgspec.structs.replace(
        plan,
        model=ModelRef(name=model.path or model.name, num_params=model.num_params),
        micro_batch_size=1,
        eval_micro_batch_size=1,
    )
