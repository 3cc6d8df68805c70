"""The answer beside a form that is being filled: what a person looks at first, and what the last answer changed."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.decide.recommendation import Recommendation
from advisor.report import words
from advisor.report.layout import grid
from advisor.report.plan import plan_groups
from advisor.report.summary import standing
from advisor.report.terminal import VERDICT_STYLE
from trainers import amounts
from trainers.method import METHODS

FIRST = ("lora_rank", "learning_rate", "num_epochs", "max_steps", "global_batch_size", "max_seq_len", "packing")
"""Settings that people ask about first."""
CHANGED = "*"
"""In front of what the last answer changed, so that it is seen without colour too."""
CHANGED_STYLE = "bold yellow"
MOST_CHANGES, MOST_REASONS, MOST_WARNINGS = 6, 2, 2


def live(result: Recommendation, before: Recommendation | None) -> RenderableType:
    """The answer from the top, the most important first; what differs from `before` is marked and said."""
    new, old = values(result), values(before) if before else values(result)
    order = dict.fromkeys((*_settings(result), *new, *old))
    changed = {name: old.get(name) for name in order if old.get(name) != new.get(name)}
    parts: list[RenderableType] = [Text(result.headline, style=f"bold {VERDICT_STYLE[result.verdict]}")]
    parts += [Text(gate.message) for gate in result.gates[:1]]
    if changed:
        parts += [Text(""), _changes(changed, new)]
    elif before is not None:
        parts += [Text(""), Text(tr("The last answer changes nothing."), style="dim")]
    parts += [Text(""), _table(_figures(result), changed), _table(_methods(result), changed)]
    if result.best is not None and result.best.reasons:
        reasons = sorted(result.best.reasons, key=lambda trace: -abs(trace.weight))[:MOST_REASONS]
        parts += [Text(""), *(Text(trace.message, style="dim") for trace in reasons)]
    parts += [Text(f"! {each.message}", style="yellow") for each in result.warnings[:MOST_WARNINGS]]
    parts += [Text(f"-> {each}", style="cyan") for each in result.remedies[:MOST_REASONS]]
    return Group(*parts, Text(""), _table(_settings(result), changed))


def values(result: Recommendation) -> dict[str, str]:
    """Name -> value of all that is compared from answer to answer: figures, methods, then settings."""
    return {**_figures(result), **_methods(result), **_settings(result)}


def _figures(result: Recommendation) -> dict[str, str]:
    best = result.best
    if best is None:
        return {}
    memory, free = best.memory.device, best.available_bytes
    need = tr("up to {high}", high=amounts.size(memory.high))
    return {
        tr("memory"): need if free is None else tr("{need} of {free}", need=need, free=amounts.size(free)),
        tr("time"): words.time_lines(best)[0],
        tr("disk"): amounts.size(best.storage.peak_output_bytes),
    }


def _methods(result: Recommendation) -> dict[str, str]:
    """Every method with what it needs and how it stands, the advised one first."""
    compared = [*([result.best] if result.best else []), *result.alternatives, *result.rejected]
    return {
        tr(METHODS[each.method].title): f"{amounts.size(each.memory.device.high)}, {standing(each, result).plain}"
        for each in compared
    }


def _settings(result: Recommendation) -> dict[str, str]:
    if result.best is None:
        return {}
    found = {row.field: row.value for _, rows in plan_groups(result.best.plan) for row in rows}
    return {name: found[name] for name in (*FIRST, *found) if name in found}


def _changes(changed: Mapping[str, str | None], new: Mapping[str, str]) -> Table:
    """What was, and what is now."""
    table = grid()
    for name in list(changed)[:MOST_CHANGES]:
        was, now = changed[name] or tr("none"), new.get(name) or tr("none")
        table.add_row(Text(f"{CHANGED} {name}", style=CHANGED_STYLE), f"{was} → {now}")
    if (more := len(changed) - MOST_CHANGES) > 0:
        table.add_row("", tr("and {count} more", count=more))
    return table


def _table(rows: Mapping[str, str], changed: Mapping[str, str | None]) -> Table:
    table = grid()
    for name, value in rows.items():
        is_new = name in changed
        table.add_row(Text(f"{CHANGED if is_new else ' '} {name}", style=CHANGED_STYLE if is_new else "bold"), value)
    return table
