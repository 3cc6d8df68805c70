"""One flag for each field of a plan, read from the record itself: `--lora-rank 8`, `--learning-rate 1e-4`."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

import msgspec

from advisor.errors import InputError, Problem
from trainers.plan import PlanError, TrainingPlan, load_plan

NOT_FLAGS = ("schema", "model", "dataset", "output_dir", "delivery", "set_by", "device_uuids", "predicted_peak_bytes")
PREFIX = "plan__"


def add_plan_flags(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """Flags of a group "plan"; a field that is not given is left to the rules."""
    group = parser.add_argument_group("The plan (what is not given is set by the rules)")
    for field in msgspec.structs.fields(TrainingPlan):
        if field.name in NOT_FLAGS or field.name in without:
            continue
        options: dict[str, Any] = {"default": None, "dest": PREFIX + field.name, "metavar": _metavar(field.type)}
        if field.type is bool:
            options |= {"nargs": "?", "const": "true", "metavar": "yes|no"}
        group.add_argument("--" + field.name.replace("_", "-"), **options)


def plan_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """The plan fields that were given, typed. Raises InputError listing every one that cannot be."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for field in msgspec.structs.fields(TrainingPlan):
        raw = getattr(arguments, PREFIX + field.name, None)
        if raw is None:
            continue
        try:
            values[field.name] = _convert(raw, field.type)
        except (msgspec.ValidationError, ValueError) as error:
            flag = "--" + field.name.replace("_", "-")
            problems.append(
                Problem(what=f"{flag} cannot be {raw!r}", why=str(error), fix=f"{flag} {_metavar(field.type)}")
            )
    if problems:
        raise InputError(*problems)
    return values


def read_plan(path: Any) -> TrainingPlan:
    """A plan from a file. Raises InputError."""
    try:
        return load_plan(path)
    except PlanError as error:
        raise InputError(Problem(what=f"the plan {path} cannot be used", why=str(error))) from error


def _convert(raw: str, type_: Any) -> Any:
    if type_ is bool:
        words = {
            "yes": True,
            "true": True,
            "on": True,
            "1": True,
            "no": False,
            "false": False,
            "off": False,
            "0": False,
        }
        if raw.lower() not in words:
            raise ValueError("yes or no is expected")
        return words[raw.lower()]
    if "tuple" in str(type_):
        return msgspec.convert([part.strip() for part in raw.split(",") if part.strip()], type_, strict=False)
    return msgspec.convert(raw, type_, strict=False)


def _metavar(type_: Any) -> str:
    """What is expected, for help: the choices of a closed set, else the kind of number."""
    text = str(type_)
    if "Literal" in text:
        return "|".join(part for part in text.split("'")[1::2])
    if "tuple" in text:
        return "A,B"
    return "X" if "float" in text else "N" if "int" in text else "TEXT"
