"""How a plan is said in another tool's words: one table a tool, a row for every field of the plan.

    TABLE = {"learning_rate": named("learning_rate"), "use_dora": Unsaid("no DoRA"), "set_by": OURS, ...}
    config, dropped = translate(plan, TABLE)

A row gives the tool's keys, or the reason why this value cannot be said, or both where the keys only come close;
what is dropped is told, never lost quietly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trainers.plan import TrainingPlan

Said = dict[str, Any] | str | tuple[dict[str, Any], str]
Translation = Callable[[TrainingPlan], Said]


class Unsaid(msgspec.Struct, frozen=True):
    """The tool has no word for this field; told when the plan's value is not the plan's default."""

    reason: str


class Ours(msgspec.Struct, frozen=True):
    """The field concerns only ourselves, or is carried out by the command that starts the tool."""


OURS = Ours()
Row = Translation | Unsaid | Ours
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


def translate(plan: TrainingPlan, table: Table) -> tuple[dict[str, Any], dict[str, str]]:
    """The tool's configuration, and each field of the plan that it cannot express with the reason."""
    config: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for field in msgspec.structs.fields(plan):
        row = table[field.name]
        if isinstance(row, Ours):
            continue
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


def as_yaml(config: dict[str, Any]) -> str:
    """YAML text in the order in which the keys were said."""
    import yaml  # type: ignore[import-untyped]

    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110)
    return text


def as_json(content: Any) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(content)).decode() + "\n"


def devices(plan: TrainingPlan) -> str:
    """The shell prefix that chooses the plan's devices."""
    return f"CUDA_VISIBLE_DEVICES={','.join(plan.device_uuids)} " if plan.device_uuids else ""


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
