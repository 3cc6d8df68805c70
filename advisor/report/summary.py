"""The answer on one screen of about 25 lines: the verdict, three figures, why, the methods side by side, what next.

Everything else is in the whole answer (advisor/report/terminal.py), which `--full` and `explain last` show.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.decide.recommendation import Candidate, Caution, Recommendation
from advisor.report import words
from advisor.report.bars import MemoryBar
from advisor.report.layout import grid, indented, rows
from advisor.report.terminal import headline
from trainers import amounts
from trainers.method import METHODS
from trainers.plan import TrainingPlan

MOST_LINES = 3
"""Of reasons, warnings, remedies and changes each; what is left out is counted."""


def summary(result: Recommendation) -> RenderableType:
    """The short answer."""
    best = result.best
    parts: list[RenderableType] = [headline(result)]
    if result.gates:
        parts += _lines(tr("why not"), [f"{gate.message} {gate.fix}".strip() for gate in result.gates])
    if best is not None:
        parts.append(indented(_figures(result, best)))
        parts += _lines(tr("why"), [trace.message for trace in sorted(best.reasons, key=lambda trace: -trace.weight)])
    parts += _lines(tr("would help"), result.remedies)
    parts += _warnings(result.warnings)
    parts += [Text(""), indented(_methods(result))]
    if result.changes:
        parts += [Text(""), indented(_changes(result))]
    return Group(*parts)


def _figures(result: Recommendation, best: Candidate) -> Table:
    memory = best.memory.device
    fit = tr("{sizes}, of {free} free", sizes=words.sizes(memory), free=amounts.size(best.available_bytes))
    time = [words.time_lines(best)[0], *words.offer_lines(best, result.hardware)]
    table = grid()
    table.add_row(tr("memory"), fit if best.available_bytes is not None else words.sizes(memory))
    table.add_row(tr("time"), "; ".join(time))
    table.add_row(tr("disk"), words.disk_lines(best)[0])
    table.add_row(tr("plan"), _plan(best.plan))
    return table


def _plan(plan: TrainingPlan) -> str:
    """The settings that people ask about first."""
    parts = [
        tr("rank {rank}", rank=plan.lora_rank) if plan.lora_rank else "",
        tr("learning rate {rate}", rate=words.plain(plan.learning_rate)),
        tr("{count} steps", count=f"{plan.max_steps:,}") if plan.max_steps else _passes(plan),
        tr(
            "{rows} rows of up to {tokens} tokens a step", rows=plan.global_batch_size, tokens=f"{plan.max_seq_len:,}"
        ),
        tr("packed") if plan.packing else "",
        tr("{count} GPUs, {sharding}", count=plan.num_gpus, sharding=plan.sharding) if plan.num_gpus > 1 else "",
    ]
    return ", ".join(part for part in parts if part)


def _passes(plan: TrainingPlan) -> str:
    if plan.num_epochs == 1:
        return tr("1 pass")
    return tr("{count} passes", count=words.plain(plan.num_epochs))


def _lines(name: str, texts: Sequence[str]) -> list[RenderableType]:
    if not texts:
        return []
    table = grid()
    for place, text in enumerate(texts[:MOST_LINES]):
        table.add_row("" if place else name, text)
    return [Text(""), indented(table), *_left_out(len(texts))]


def _warnings(warnings: Sequence[Caution]) -> list[RenderableType]:
    if not warnings:
        return []
    table = rows("yellow", "fold")
    for warning in warnings[:MOST_LINES]:
        text = Text(warning.message)
        if warning.fix:
            text.append(f" -> {warning.fix}", style="cyan")
        table.add_row("!", text)
    return [Text(""), indented(table), *_left_out(len(warnings))]


def _left_out(num_lines: int) -> list[RenderableType]:
    more = num_lines - MOST_LINES
    return (
        [indented(Text(tr("and {count} more: sft-advisor explain last", count=more), style="dim"))]
        if more > 0
        else []
    )


def _methods(result: Recommendation) -> Table:
    """Every method on one scale: its bar against the free memory, its need and its duration."""
    shown = [*([result.best] if result.best else []), *result.alternatives, *result.rejected]
    scale = max([each.memory.device.high for each in shown] + [each.available_bytes or 0 for each in shown])
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    for _ in range(3):
        table.add_column(no_wrap=True)
    for candidate in shown:
        high = candidate.memory.device.high
        bar = MemoryBar(
            candidate.memory.peak_parts, high_bytes=high, limit_bytes=candidate.available_bytes, scale_bytes=scale
        )
        seconds = candidate.time.total_seconds if candidate.time else None
        need = Text(amounts.size(high), style="" if candidate.fits else "red")
        duration = amounts.duration(seconds) if seconds is not None else ""
        table.add_row(tr(METHODS[candidate.method].title), bar, need, duration, standing(candidate, result))
    return table


def standing(candidate: Candidate, result: Recommendation) -> Text:
    """How a method stands in an answer: advised, possible, ruled out, or without room."""
    if candidate is result.best:
        return Text(tr("if at all"), style="yellow") if result.gates else Text(tr("advised"), style="green")
    if candidate in result.alternatives:
        return Text(tr("possible"))
    return Text(tr("ruled out") if candidate.fits else tr("does not fit"), style="red")


def _changes(result: Recommendation) -> Table:
    table = rows("fold", "bold", "fold cyan")
    for change in result.changes[:MOST_LINES]:
        table.add_row(tr("with {change}", change=change.what), words.outcome(change), change.flag)
    return table
