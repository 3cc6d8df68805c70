"""How a plan is said in another tool's words: one table a tool, a row for each field that has a word there.

    TABLE = {"learning_rate": named("learning_rate"), "use_dora": Unsaid("no DoRA"), ...}
    config, dropped = translate(plan, TABLE)

A row gives the tool's keys, or the reason why this value cannot be said, or both where the keys only come close;
what is dropped is listed, never lost silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trainers.export.pictures import Form
from trainers.foreign.text import shell
from trainers.method import Method
from trainers.plan import TrainingPlan
from trainers.plan_fields import OURS, fields_about

Said = dict[str, Any] | str | tuple[dict[str, Any], str]
Translation = Callable[[TrainingPlan], Said]


class Unsaid(msgspec.Struct, frozen=True):
    """The tool has no word for this field; told when the plan's value is not the plan's default."""

    reason: str


Row = Translation | Unsaid
Table = Mapping[str, Row]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A plan in another tool's words."""

    files: dict[str, str]
    """Name -> content."""
    command: str
    """How to start it, in the folder of the files."""
    dropped: dict[str, str] = {}
    """Plan field -> why the tool cannot be told."""
    notes: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What an exporter says about itself, as `TARGET` of its module."""

    title: str
    """What its own people call it."""
    version: str | None = None
    """The version whose words it was written in; None where only our own process is started."""
    trains_by_itself: bool
    """True for a tool with a training loop of its own, False where our own training process is started."""
    methods: tuple[Method, ...]
    """What it can be told to do; a plan of another method is refused by name."""
    pictures: Form | None = None
    """How its rows show pictures; None: it is told of none."""
    finish: Callable[[TrainingPlan, Path], None] | None = None
    """What is left to do once all files lie in the folder."""

    @property
    def is_job(self) -> bool:
        """Whether its files are a job folder of ours (trainers/export/job.py)."""
        return not self.trains_by_itself


def translate(plan: TrainingPlan, table: Table) -> tuple[dict[str, Any], dict[str, str]]:
    """The tool's configuration, and each field of the plan that it cannot express with the reason."""
    config: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    about = fields_about(TrainingPlan)
    for field in msgspec.structs.fields(plan):
        said_by_itself = about[field.name].export
        if field.name not in table and said_by_itself == OURS:
            continue
        row = table[field.name] if said_by_itself is None else table.get(field.name, Unsaid(said_by_itself))
        if isinstance(row, Unsaid):
            if getattr(plan, field.name) != _default(field):
                dropped[field.name] = row.reason
            continue
        said = row(plan)
        keys, reason = said if isinstance(said, tuple) else ({}, said) if isinstance(said, str) else (said, "")
        config |= keys
        if reason:
            dropped[field.name] = reason
    return config, dropped


def named(key: str, field: str | None = None) -> Translation:
    """The same value under another name; left out when it is None. `field` when the plan's name is not `key`."""

    def row(plan: TrainingPlan) -> dict[str, Any]:
        value = getattr(plan, field or key)
        return {} if value is None else {key: list(value) if isinstance(value, tuple) else value}

    return row


def when(field: str, keys: Mapping[str, Any]) -> Translation:
    """These keys when the field is set (true, not empty, not None), nothing otherwise."""
    return lambda plan: dict(keys) if getattr(plan, field) else {}


def by_value(field: str, words: Mapping[Any, Said]) -> Translation:
    """Keys, or the reason, for each value that the field may have."""
    return lambda plan: words[getattr(plan, field)]


def liger_or_whole_logits(key: str) -> Translation:
    """The loss kernel for a tool that knows Liger under `key` and otherwise holds all logits."""
    chunked = "the loss holds all logits; take loss_kernel = liger for less"
    return by_value("loss_kernel", {"full": {}, "chunked": chunked, "liger": {key: True}})


def best_step(plan: TrainingPlan) -> Said:
    """The best step, for a tool that trains with transformers' Trainer."""
    wanted = plan.load_best_model_at_end
    if wanted and not _evaluates(plan):
        return {}
    if wanted and plan.save_steps % plan.eval_steps:
        return {"load_best_model_at_end": False}, _SAVES_OFF_EVALUATIONS
    return {"load_best_model_at_end": wanted, **({"metric_for_best_model": "eval_loss"} if wanted else {})}


def patience(key: str) -> Translation:
    """Early stopping by transformers' callback, under the tool's `key`: it goes with the best step only."""

    def row(plan: TrainingPlan) -> Said:
        if plan.early_stopping_patience is None:
            return {}
        if not _evaluates(plan):
            return "nothing is kept back to evaluate on"
        if not plan.load_best_model_at_end:
            return "it stops early only where the best step is delivered"
        if plan.save_steps % plan.eval_steps:
            return _SAVES_OFF_EVALUATIONS
        return {key: plan.early_stopping_patience}

    return row


def _evaluates(plan: TrainingPlan) -> bool:
    return plan.dataset is not None and bool(plan.dataset.eval_source or plan.dataset.eval_fraction)


_SAVES_OFF_EVALUATIONS = "it keeps the best step only where save_steps is a multiple of eval_steps"


def as_json(content: Any) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(content)).decode() + "\n"


def meeting(plan: TrainingPlan) -> str:
    """The shell prefix that tells each of several nodes which it is and where they meet; they are told by whoever
    starts them, and one that is not says what it lacks."""
    if plan.num_nodes == 1:
        return ""
    return f"NNODES={plan.num_nodes} NODE_RANK={NODE_RANK} MASTER_ADDR={FIRST_NODE} "


NODE_RANK = '"${NODE_RANK:?which node this is, counted from 0}"'
FIRST_NODE = '"${MASTER_ADDR:?the address of node 0}"'


def devices(plan: TrainingPlan) -> str:
    """The shell prefix that chooses the plan's devices."""
    return f"CUDA_VISIBLE_DEVICES={shell(','.join(plan.device_uuids))} " if plan.device_uuids else ""


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
