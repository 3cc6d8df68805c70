"""What people write and pass on: plans, answers, rules and hardware profiles."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from advisor.errors import InputError
from advisor.language import tr
from advisor.probe.hardware import HARDWARE_SCHEMA
from advisor.probe.profile import load_profile
from advisor.trust.signs import hidden_text, in_strings, named, private_path, secret
from rules.engine import load_rule_book
from rules.errors import RuleError
from rules.policy import own_rules
from trainers.foreign.files import PLAN_BYTES, json_object, read_small_file
from trainers.network import LOCAL_TRACKERS
from trainers.plan import PlanError, TrainingPlan, load_plan, plan_to_dict

Written = Literal["plan", "answers", "rules", "profile"]
Said = dict[str, str | None]
_DOWNLOADED_AND_RUN = re.compile(r"\b(?:curl|wget|iwr)\b[^|;&]*[|;&]+\s*(?:sudo\s+)?(?:ba|z|da)?sh\b")


def written_kind(path: Path) -> Written | None:
    """Which of them a file or folder is, by what it holds; None for none."""
    if path.is_dir():
        return "rules" if any(_is_rule(_table(file)) for file in sorted(path.rglob("*.toml"))[:20]) else None
    if path.suffix == ".json":
        return "profile" if (json_object(path) or {}).get("schema") == HARDWARE_SCHEMA else None
    if path.suffix != ".toml":
        return None
    table = _table(path)
    if _is_rule(table):
        return "rules"
    return "answers" if str(table.get("schema", "")).startswith("sft-advisor/answers/") else "plan"


def written_facts(kind: Written, path: Path) -> Said:
    """The trust facts of one of them."""
    return {"plan": plan_file, "answers": _answers, "rules": _rules, "profile": _profile}[kind](path)


def plan_file(path: Path) -> Said:
    """Of a plan's file, which may be none."""
    try:
        return plan_facts(load_plan(path))
    except PlanError as error:
        return {"trust.damaged": str(error)}


def plan_facts(plan: TrainingPlan) -> Said:
    """Of a plan that somebody else wrote: where it writes, whom it tells, what it would have you paste."""
    senders = [name for name in plan.report_to if name not in LOCAL_TRACKERS]
    output = Path(plan.output_dir)
    outside = output.is_absolute() or ".." in output.parts or plan.output_dir.startswith("~")
    command = plan.delivery.serve_command or ""
    pasted = any(mark in command for mark in (";", "|", "&", "$(", "`", ">", "\n"))
    return {
        **_of_text(plan_to_dict(plan), tr("the plan's")),
        "trust.sends_to": named(senders),
        "trust.leads_out": tr("output_dir = {output_dir!r}", output_dir=plan.output_dir) if outside else None,
        "trust.serve_command": command if pasted else None,
    }


def _answers(path: Path) -> Said:
    table = _table(path)
    output = Path(str(table.get("output", "")))
    return {
        **_of_text(table, tr("the answers'")),
        "trust.leads_out": tr("output = {output!r}", output=str(output))
        if output.is_absolute() or ".." in output.parts
        else None,
    }


def _rules(path: Path) -> Said:
    folder = path if path.is_dir() else path.parent
    try:
        own = own_rules(load_rule_book(folder), folder)
    except RuleError as error:
        return {"trust.damaged": error.problems[0].what}
    table = {rule.id: msgspec.to_builtins(rule) | {"path": ""} for rule in own}
    commands = [f"{rule.id}: {rule.fix}" for rule in own if _DOWNLOADED_AND_RUN.search(rule.fix)]
    silenced = [tr("{id} replaces {replaces}", id=rule.id, replaces=rule.replaces) for rule in own if rule.replaces]
    silenced += [
        tr("{id} overrides {overrides}", id=rule.id, overrides=", ".join(rule.overrides))
        for rule in own
        if rule.overrides
    ]
    return {
        **_of_text(table, tr("the rule")),
        "trust.serve_command": named(commands),
        "trust.silences": named(silenced),
    }


def _profile(path: Path) -> Said:
    try:
        load_profile(path)
    except InputError as error:
        return {"trust.damaged": f"{error.problems[0].what}: {error.problems[0].why}"}
    return _of_text(json_object(path), tr("the profile's"))


def _of_text(value: Any, whose: str) -> Said:
    return {
        "trust.hidden_text": named(in_strings(hidden_text, value, whose)),
        "trust.private_paths": named(in_strings(private_path, value, whose)),
        "trust.secrets": named(in_strings(secret, value, whose)),
    }


def _is_rule(table: dict[str, Any]) -> bool:
    return {"when", "effect"} <= set(table)


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_small_file(path, PLAN_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return {}
