"""What people write and pass on: plans, answers, rules and hardware profiles."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import msgspec

from advisor.base.errors import InputError
from advisor.base.language import tr
from advisor.probe.catalogue import lookup
from advisor.probe.hardware import HARDWARE_SCHEMA, Gpu
from advisor.probe.profile import load_profile
from advisor.trust.commands import does_more, runs_what_it_fetches
from advisor.trust.signs import hidden_text, in_strings, leads_out, named, private_path, secret, strings
from rules.engine import load_rule_book
from rules.errors import RuleError
from rules.policy import own_rules
from trainers.amounts import MIB, gib
from trainers.foreign.files import PLAN_BYTES, json_object, read_small_file
from trainers.foreign.text import brief, comment
from trainers.network import LOCAL_TRACKERS
from trainers.plan import PlanError, TrainingPlan, load_plan, plan_to_dict

Written = Literal["plan", "answers", "rules", "profile"]
Said = dict[str, str | None]
LARGEST_RAM_BYTES = 64 << 40
"""Of one machine; the largest that a maker offers have 48 TiB."""
MOST_OF_A_SIZE = 1.1
"""Drivers report a card's memory with or without what they keep of it."""


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
    """The trust facts of one of them, and what its comments hide from who reads them."""
    said = {"plan": plan_file, "answers": _answers, "rules": _rules, "profile": _profile}[kind](path)
    return said if said.get("trust.hidden_text") else {**said, "trust.hidden_text": named(_hidden_lines(path))}


def _hidden_lines(path: Path) -> list[str]:
    files = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            text = read_small_file(file, PLAN_BYTES).decode(errors="replace")
            found += [f"{file.name}: {said}" for line in text.splitlines() if (said := hidden_text(line))]
    return found


def plan_file(path: Path) -> Said:
    """Of a plan's file, which may be none."""
    try:
        return plan_facts(load_plan(path))
    except PlanError as error:
        return {"trust.damaged": str(error)}


def plan_facts(plan: TrainingPlan) -> Said:
    """Of a plan that somebody else wrote: where it writes, whom it tells, what it would have you paste."""
    senders = [name for name in plan.report_to if name not in LOCAL_TRACKERS]
    command = plan.delivery.serve_command or ""
    data = plan.dataset
    sources = {"source": data.source, "eval_source": data.eval_source} if data else {}
    out = [tr("output_dir = {output_dir!r}", output_dir=plan.output_dir)] if leads_out(plan.output_dir) else []
    return {
        **_of_text(plan_to_dict(plan), tr("the plan's")),
        "trust.sends_to": named(senders),
        "trust.leads_out": named(out + _climbing(**sources)),
        "trust.serve_command": comment(command) if command and does_more(command) else None,
    }


def _answers(path: Path) -> Said:
    table = _table(path)
    output = str(table.get("output", ""))
    out = [tr("output = {output!r}", output=output)] if leads_out(output) else []
    return {
        **_of_text(table, tr("the answers'")),
        "trust.leads_out": named(
            out + _climbing(dataset=table.get("dataset"), eval_dataset=table.get("eval_dataset"))
        ),
    }


def _climbing(**sources: object) -> list[str]:
    """Data that is to be read from above the folder in which the reader of a plan works, or from the web."""
    return [
        f"{key} = {brief(comment(said))}"
        for key, said in sources.items()
        if isinstance(said, str) and (".." in PureWindowsPath(said).parts or "://" in said)
    ]


def _rules(path: Path) -> Said:
    folder = path if path.is_dir() else path.parent
    try:
        own = own_rules(load_rule_book(folder), folder)
    except RuleError as error:
        return {"trust.damaged": error.problems[0].what}
    table = {rule.id: msgspec.to_builtins(rule) | {"path": ""} for rule in own}
    commands = [
        f"{rule.id}: {said}" for rule in own for _, said in strings(table[rule.id]) if runs_what_it_fetches(said)
    ]
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
        hardware = load_profile(path)
    except InputError as error:
        return {"trust.damaged": f"{error.problems[0].what}: {error.problems[0].why}"}
    return {
        **_of_text(json_object(path), tr("the profile's")),
        "trust.contradicts": named(
            [
                *(said for gpu in hardware.gpus if (said := _more_than_made(gpu))),
                *(
                    f"{gpu.name}: {said}"
                    for gpu in hardware.gpus
                    if (said := _more_free(gpu.free_bytes, gpu.total_bytes))
                ),
                *filter(None, [_more_free(hardware.host.ram_available_bytes, hardware.host.ram_total_bytes)]),
                *filter(None, [_no_such_ram(hardware.host.ram_total_bytes)]),
            ]
        ),
    }


def _more_than_made(gpu: Gpu) -> str | None:
    """A card that is said to have more memory than any of its name has."""
    card = lookup(gpu.name)
    largest = max(card.sizes_mib, default=0) * MIB if card else 0
    if not largest or not gpu.total_bytes or gpu.total_bytes <= MOST_OF_A_SIZE * largest:
        return None
    return tr(
        "{name} with {has}, of which there is none above {most}",
        name=gpu.name,
        has=gib(gpu.total_bytes),
        most=gib(largest),
    )


def _more_free(free_bytes: int | None, total_bytes: int | None) -> str | None:
    if not free_bytes or not total_bytes or free_bytes <= MOST_OF_A_SIZE * total_bytes:
        return None
    return tr("{free} free of {total}", free=gib(free_bytes), total=gib(total_bytes))


def _no_such_ram(total_bytes: int | None) -> str | None:
    if not total_bytes or total_bytes <= LARGEST_RAM_BYTES:
        return None
    return tr("{has} of RAM, and no machine has more than {most}", has=gib(total_bytes), most=gib(LARGEST_RAM_BYTES))


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
