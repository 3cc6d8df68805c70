"""Each field of the plan says everything about itself."""

import argparse
import typing

import msgspec
import pytest

from advisor.commands.planflags import add_plan_flags
from advisor.report.plan import plan_groups
from rules.facts import BY_PATH
from tests.trainers.plans import lora_plan
from trainers.plan import TrainingPlan
from trainers.plan_fields import GROUPS, About, about, bare_type, fields_about

ABOUT = fields_about(TrainingPlan)
FIELDS = {field.name: field for field in msgspec.structs.fields(TrainingPlan)}
UNITS = {"_steps": "steps", "_bytes": "bytes", "_tokens": "tokens", "_seq_len": "tokens", "_epochs": "epochs"}
"""End of a name -> the unit that it promises."""
NOT_FOR_RULES = {"trainable_token_indices", "leave_out", "max_steps"}
"""Settings that the data or a person decide."""


def is_number(name: str) -> bool:
    said = str(bare_type(FIELDS[name]))
    return ("int" in said or "float" in said) and "tuple" not in said


def test_a_field_that_says_nothing_of_itself_is_refused() -> None:
    class Loose(msgspec.Struct):
        rank: int

    with pytest.raises(TypeError, match=r"Loose\.rank does not say about"):
        fields_about(Loose)


@pytest.mark.parametrize("name", FIELDS)
def test_a_number_has_a_unit_and_nothing_else_has_one(name: str) -> None:
    assert (ABOUT[name].unit is not None) == is_number(name), f'{name}: about(..., unit="") for a pure number'
    for end, unit in UNITS.items():
        if name.endswith(end) and name != "gradient_accumulation_steps":
            assert ABOUT[name].unit == unit


def test_a_setting_is_a_fact_that_rules_can_set() -> None:
    unknown = {name for name, field in ABOUT.items() if field.group and f"plan.{name}" not in BY_PATH}
    assert unknown == NOT_FOR_RULES, f"FACTS in rules/facts.py has no row plan.NAME for {unknown - NOT_FOR_RULES}"


@pytest.mark.parametrize("name", FIELDS)
def test_rules_speak_of_it_in_the_same_unit(name: str) -> None:
    fact = BY_PATH.get(f"plan.{name}")
    if fact is not None and fact.unit:
        assert fact.unit == ABOUT[name].unit


@pytest.mark.parametrize("name", [name for name, field in ABOUT.items() if field.quiet])
def test_what_can_be_quiet_is_shown_otherwise(name: str) -> None:
    """Off means false, empty or 0; a field with a group and no `quiet` is always shown."""
    field = ABOUT[name]
    assert field.group is not None
    loud = {"off": True, "default": 7}[str(field.quiet)]
    for value, shown in ((FIELDS[name].default, False), (loud, True)):
        plan = msgspec.structs.replace(lora_plan(), **{name: value})
        assert (name in {row.field for _, rows in plan_groups(plan) for row in rows}) is shown


def test_every_setting_is_in_a_group_and_every_group_is_shown() -> None:
    shown = {row.field: group for group, rows in plan_groups(lora_plan()) for row in rows}
    assert {group for group, _ in plan_groups(lora_plan())} == set(GROUPS)
    assert {name: ABOUT[name].group for name in shown if name in ABOUT} == {
        name: group for name, group in shown.items() if name in ABOUT
    }
    without = {name for name, field in ABOUT.items() if field.group is None}
    assert without == {
        "schema", "model", "dataset", "output_dir", "device_uuids", "report_to", "delivery", "predicted_peak_bytes",
        "made_for", "set_by",
    }  # fmt: skip


def test_every_setting_is_a_flag() -> None:
    parser = argparse.ArgumentParser()
    add_plan_flags(parser)
    flags = {text for action in parser._actions for text in action.option_strings}
    assert {name for name, field in ABOUT.items() if field.flag} == {
        name for name in ABOUT if "--" + name.replace("_", "-") in flags
    }
    assert {name for name, field in ABOUT.items() if field.group} <= {name for name in ABOUT if ABOUT[name].flag}


def test_the_annotation_leaves_the_type_as_it_was() -> None:
    class One(msgspec.Struct):
        rank: typing.Annotated[int, msgspec.Meta(ge=1), about("method", unit="")] = 1

    assert fields_about(One) == {"rank": About(group="method", unit="")}
    assert bare_type(msgspec.structs.fields(One)[0]) is int
    with pytest.raises(msgspec.ValidationError, match=">= 1"):
        msgspec.convert({"rank": 0}, One)
