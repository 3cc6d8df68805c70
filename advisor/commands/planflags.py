"""One flag for each field of a plan, read from the record itself: `--lora-rank 8`, `--learning-rate 1e-4`."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from advisor.ask import amounts
from advisor.ask.answers import read_file
from advisor.ask.questions import BY_KEY
from advisor.base.errors import InputError, Problem, nearest
from advisor.base.language import tr
from advisor.report import words
from trainers.foreign.text import shell_line
from trainers.plan import PlanError, TrainingPlan, load_plan, plan_problems
from trainers.plan_fields import bare_type, fields_about

PREFIX = "plan__"


def add_plan_flags(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """Flags of a group "plan"; a field that is left out is set by the rules."""
    group = parser.add_argument_group(tr("The plan (what you leave out is set by the rules)"))
    about = fields_about(TrainingPlan)
    for field in msgspec.structs.fields(TrainingPlan):
        if not about[field.name].flag or field.name in without:
            continue
        type_ = bare_type(field)
        options: dict[str, Any] = {"default": None, "dest": PREFIX + field.name, "metavar": _metavar(type_)}
        if type_ is bool:
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
            values[field.name] = _convert(raw, field)
        except (msgspec.ValidationError, ValueError) as error:
            flag = "--" + field.name.replace("_", "-")
            problems.append(
                Problem(
                    what=tr("{flag} cannot be {raw!r}", flag=flag, raw=raw),
                    why=_expected(bare_type(field), str(error)),
                    fix=f"{flag} {_example(field, raw, str(error))}",
                )
            )
    if problems:
        raise InputError(*problems)
    return values


def require_consistent(plan: TrainingPlan, num_devices: int | None = None) -> None:
    """Raise InputError with every contradiction between the fields of a plan, or with a machine of `num_devices`."""
    problems = [Problem(what=problem) for problem in plan_problems(plan)]
    wanted = plan.num_gpus
    if num_devices is not None and plan.accelerator != "cpu" and wanted > num_devices:
        problems.append(
            Problem(
                what=tr(
                    "--num-gpus {wanted} is more than the machine has ({there})", wanted=wanted, there=num_devices
                ),
                why=tr("each process of a run takes a GPU of its own"),
                fix=tr('name the machine that is meant, such as --hardware "{count}x RTX 4090"', count=wanted),
            )
        )
    if problems:
        raise InputError(*problems)


def read_plan(path: Any) -> TrainingPlan:
    """A plan from a file. Raises InputError."""
    try:
        return load_plan(path)
    except PlanError as error:
        raise InputError(_no_plan(Path(path), str(error))) from error


def _no_plan(path: Path, why: str) -> Problem:
    """What cannot be used as a plan; answers, which are TOML as well, are told from a plan that is broken."""
    what = tr("the plan {path} cannot be used", path=path)
    if _holds_answers(path):
        line = shell_line(
            ["sft-advisor", "--non-interactive", "--answers", str(path), "--save-plan", f"{path.stem}-plan.toml"]
        )
        return Problem(what=what, why=tr("it holds answers, from which a plan is made"), fix=line)
    anew = tr("`sft-advisor --save-plan FILE` writes one, and `sft-advisor rules schema plan` describes each field")
    return Problem(what=what, why=why, fix=anew)


def _holds_answers(path: Path) -> bool:
    try:
        return any(key in BY_KEY for key in read_file(path).raw)
    except InputError:
        return False


def _convert(raw: str, field: msgspec.structs.FieldInfo) -> Any:
    bare = bare_type(field)
    if bare is bool:
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
            raise ValueError(tr("yes or no is expected"))
        return words[raw.lower()]
    if "int" in str(bare) and not _choices(bare) and "tuple" not in str(bare) and "float" not in str(bare):
        read = amounts.length if _is_length(field) else amounts.count
        with contextlib.suppress(ValueError):
            # what is no number goes on as it is: the validator names the bound of the field
            raw = str(read(raw))
    if "tuple" in str(bare):
        return msgspec.convert([part.strip() for part in raw.split(",") if part.strip()], field.type, strict=False)
    return msgspec.convert(raw, field.type, strict=False)


def _is_length(field: msgspec.structs.FieldInfo) -> bool:
    return fields_about(TrainingPlan)[field.name].unit == "tokens"


def _expected(type_: Any, said: str) -> str:
    """What is expected, in words; `said` is the validator's sentence, which holds the bound."""
    text = str(type_)
    if choices := _choices(type_):
        return tr("allowed are {split}", split=", ".join(choices))
    number = tr("a number") if "float" in text else tr("a whole number") if "int" in text else ""
    if not number:
        return said
    bound = re.search(r"(>=|<=|>|<) ([-\d.e]+)", said)
    words = {">=": tr("of at least"), "<=": tr("of at most"), ">": tr("above"), "<": tr("below")}
    return (
        tr("{number} {words} {bound} is expected", number=number, words=words[bound[1]], bound=bound[2])
        if bound
        else tr("{number} is expected", number=number)
    )


def _example(field: msgspec.structs.FieldInfo, raw: str, said: str) -> str:
    """A value that can be: the nearest of a closed set, else the default, else the bound that the validator names."""
    choices = _choices(bare_type(field))
    if choices:
        return nearest(raw, choices) or choices[0]
    if bare_type(field) is bool:
        return "yes"
    if field.default is not msgspec.NODEFAULT and field.default is not None:
        return words.plain(field.default)
    bound = re.search(r"[<>]= ([-\d.e]+)", said)
    return bound[1] if bound else _metavar(bare_type(field)).replace("N", "16").replace("X", "0.1")


def _choices(type_: Any) -> list[str]:
    """The values of a closed set; [] for any other type."""
    text = str(type_)
    return text.split("'")[1::2] if "Literal" in text else []


def _metavar(type_: Any) -> str:
    """What is expected, for help: the choices of a closed set, else the kind of number."""
    text = str(type_)
    if choices := _choices(type_):
        return "|".join(choices)
    if "tuple" in text:
        return "A,B"
    return "X" if "float" in text else "N" if "int" in text else "TEXT"
