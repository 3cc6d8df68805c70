"""The plan as rows: only the fields that its method uses, grouped, each with the rule that set it."""

from __future__ import annotations

from functools import cache

import msgspec

from advisor.report import words
from trainers.plan import TrainingPlan
from trainers.plan_fields import GROUPS, Group, fields_about

ABOUT = fields_about(TrainingPlan)


class PlanRow(msgspec.Struct, frozen=True):
    """One setting: its field, its value for a person, and what set it."""

    field: str
    value: str
    set_by: str


def plan_groups(plan: TrainingPlan) -> list[tuple[Group, list[PlanRow]]]:
    """Groups of settings, in the order in which they are read."""
    groups: list[tuple[Group, list[PlanRow]]] = []
    for group in GROUPS:
        rows = [_row(plan, name) for name, field in ABOUT.items() if field.group == group and _shown(plan, name)]
        if group == "batch":
            rows.insert(2, _row(plan, "global_batch_size"))
        groups.append((group, rows))
    return groups


def _shown(plan: TrainingPlan, name: str) -> bool:
    value = getattr(plan, name)
    match ABOUT[name].quiet:
        case "off":
            return bool(value)
        case "default":
            return bool(value != _default(name))
        case _:
            return value is not None


def _default(name: str) -> object:
    return _defaults()[name]


@cache
def _defaults() -> dict[str, object]:
    return {field.name: field.default for field in msgspec.structs.fields(TrainingPlan)}


def _row(plan: TrainingPlan, name: str) -> PlanRow:
    value = getattr(plan, name)
    many = name in ABOUT and ABOUT[name].unit == "tokens"
    return PlanRow(name, f"{value:,}" if many else words.plain(value), plan.set_by.get(name, ""))
