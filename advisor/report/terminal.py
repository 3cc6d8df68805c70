"""A Recommendation for the terminal: what to do, whether it fits, why, and what else was considered.

`recommendation(result)` gives something that a rich Console prints at any width, with colour or without.
It renders and computes nothing: every figure is in the Recommendation.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from advisor.recommendation import Candidate, Recommendation
from advisor.report import words
from advisor.report.bars import Legend, MemoryBar
from advisor.report.layout import grid, rows, section
from advisor.report.plan import PlanRow, plan_groups
from rules.engine import Trace

VERDICT_STYLE = {"recommended": "green", "nothing_fits": "red", "do_not_fine_tune": "yellow"}
TWO_COLUMNS = 112
"""From this width on the plan stands in two columns."""


def recommendation(result: Recommendation, *, with_settings: bool = True) -> RenderableType:
    """The whole answer; `with_settings` ends it with the reason of every single setting."""
    parts: list[RenderableType] = [headline(result)]
    parts += section("Why not", [_gate(trace) for trace in result.gates])
    if result.best is not None:
        parts += _best(result, result.best)
    elif result.rejected:
        closest = result.rejected[0]
        parts += section(f"The closest: {words.METHOD_NAMES[closest.method]}", _fit_lines(result, closest))
    parts += section("What would help, in this order", [_numbered(result.remedies)] if result.remedies else [])
    parts += section("What your wish costs", [Text(cost) for cost in result.wish_cost])
    parts += section("Warnings", [_warnings(result.warnings)] if result.warnings else [])
    parts += section("Alternatives", [_candidates(result.alternatives)] if result.alternatives else [])
    parts += section("Rejected", [_candidates(result.rejected)] if result.rejected else [])
    parts += section("What would change the answer", [_changes(result)] if result.changes else [])
    parts += section("Not known, and it would matter", [_unknown(result)] if result.unknown_facts else [])
    if with_settings:
        parts.append(settings(result))
    return Group(*parts)


def settings(result: Recommendation) -> RenderableType:
    """The rule behind each setting of the plan, with its reason and sources."""
    if result.best is None or not any(trace.sets for trace in result.best.settings):
        return Group()
    return Group(*section("Why these settings", [_settings(result.best)]))


def recap(result: Recommendation) -> Text:
    """The answer in one line, for the end of a long page."""
    text = Text(result.headline, style="bold")
    if result.best is not None and not result.gates:
        duration = result.best.time.total_seconds if result.best.time else None
        text.append(f"; up to {words.size(result.best.memory.device.high)}")
        text.append(f" of {words.size(result.best.available_bytes)} free" if result.best.available_bytes else "")
        text.append(f", {words.duration(duration)}" if duration is not None else "")
    return text


def headline(result: Recommendation) -> RenderableType:
    """The answer in a box of two lines."""
    lines = [Text(result.headline, style="bold"), Text(words.situation(result), style="dim")]
    return Panel(Group(*lines), border_style=VERDICT_STYLE[result.verdict])


def _best(result: Recommendation, best: Candidate) -> list[RenderableType]:
    memory_title = "Memory of one GPU" if best.plan.accelerator != "cpu" else "Memory"
    parts: list[RenderableType] = []
    if result.gates:
        parts += section("If you train all the same", [Text(f"{words.METHOD_NAMES[best.method]} would be advised.")])
    parts += section(memory_title, _fit_lines(result, best))
    parts += section("Time and disk", [_time_and_disk(best)])
    parts += section("Why", [_reasons(best.reasons)] if best.reasons else [])
    parts += section("Plan", [PlanTable(best)])
    parts += section("Delivery", _delivery(best))
    return parts


def _fit_lines(result: Recommendation, candidate: Candidate) -> list[RenderableType]:
    memory, high = candidate.memory, candidate.memory.device.high
    gpus = [gpu for gpu in result.hardware.usable_gpus if gpu.uuid in candidate.plan.device_uuids]
    groups = words.alike(gpus or result.hardware.usable_gpus)
    lines: list[RenderableType] = [_fit_sentence(candidate)]
    if len(groups) <= 1 or candidate.plan.accelerator == "cpu":
        lines.append(MemoryBar(memory.peak_parts, high_bytes=high, limit_bytes=candidate.available_bytes))
    else:
        scale = max([high, *(gpu.free_bytes or 0 for gpu, _ in groups)])
        for gpu, indices in groups:
            name = f"GPU {words.index_range(indices)}  {words.short_name(gpu.name)}"
            lines.append(Text(f"{name}  {words.size(gpu.free_bytes)} free", style="dim"))
            lines.append(MemoryBar(memory.peak_parts, high_bytes=high, limit_bytes=gpu.free_bytes, scale_bytes=scale))
    counters = (
        f"Peak in {memory.peak_phase.replace('_', ' ')}: allocated {words.size(memory.allocated.likely)}, "
        f"reserved {words.size(memory.reserved.likely)}, device {words.size(memory.device.likely)}"
    )
    corrected = f"; corrected by {memory.calibrated_by}" if memory.calibrated_by else ""
    return [*lines, Legend(memory.peak_parts), Text(counters + corrected, style="dim")]


def _fit_sentence(candidate: Candidate) -> Text:
    text = Text(words.sizes(candidate.memory.device))
    if candidate.available_bytes is None:
        return text.append("; free memory is not known", style="yellow")
    text.append(f" of {words.size(candidate.available_bytes)} free: ")
    return text.append("fits", style="green") if candidate.fits else text.append("does not fit", style="bold red")


def _time_and_disk(best: Candidate) -> Table:
    table = grid()
    for place, line in enumerate(words.time_lines(best)):
        table.add_row("" if place else "time", line)
    for place, line in enumerate(words.disk_lines(best)):
        table.add_row("" if place else "disk", line)
    return table


def _warnings(warnings: Iterable[str]) -> Table:
    table = rows("yellow", "fold")
    for warning in warnings:
        table.add_row("!", warning)
    return table


def _reasons(traces: Iterable[Trace]) -> Table:
    table = rows("", "cyan", "fold")
    for trace in sorted(traces, key=lambda trace: -abs(trace.weight)):
        sign = Text(f"{trace.weight:+d}" if trace.weight else "", style="green" if trace.weight > 0 else "red")
        table.add_row(sign, trace.rule_id, _with_sources(trace.message, trace))
    return table


def _settings(best: Candidate) -> Table:
    table = rows("cyan", "fold")
    for trace in best.settings:
        if trace.sets:
            table.add_row(trace.rule_id, _with_sources(trace.message, trace))
    return table


def _with_sources(message: str, trace: Trace) -> Text:
    return Text(message).append(f"  [{trace.strength}: {', '.join(trace.sources)}]", style="dim")


def _gate(trace: Trace) -> RenderableType:
    text = Text.assemble((f"{trace.rule_id}  ", "cyan"), _with_sources(trace.message, trace))
    return Group(text, Text(f"Instead: {trace.fix}", style="bold")) if trace.fix else text


def _delivery(best: Candidate) -> list[RenderableType]:
    delivery = best.plan.delivery
    artifact, weights = delivery.artifact.replace("_", " "), delivery.weights
    lines: list[RenderableType] = [Text(f"{artifact}, {weights} weights, for {delivery.engine}")]
    if delivery.serve_command:
        lines.append(Text(delivery.serve_command, style="cyan", overflow="fold"))
    return [*lines, *(Text(note, style="dim") for note in delivery.notes)]


def _candidates(candidates: Iterable[Candidate]) -> Table:
    table = rows("bold", "", "fold")
    for candidate in candidates:
        need = Text(words.size(candidate.memory.device.high), style="" if candidate.fits else "red")
        table.add_row(words.METHOD_NAMES[candidate.method], need, "\n".join(candidate.why_not))
    return table


def _changes(result: Recommendation) -> Table:
    table = rows("fold", "bold", "fold cyan")
    for change in result.changes:
        table.add_row(change.what, f"-> {words.outcome(change)}", change.flag)
    return table


def _unknown(result: Recommendation) -> Table:
    table = grid()
    for fact, how in result.unknown_facts.items():
        table.add_row(fact, Text(how, style="cyan"))
    return table


def _numbered(lines: Iterable[str]) -> Table:
    table = rows("", "fold")
    for number, line in enumerate(lines, start=1):
        table.add_row(f"{number}.", line)
    return table


class PlanTable:
    """Every setting with its value and the rule that set it, in one column or, where there is room, in two."""

    def __init__(self, candidate: Candidate) -> None:
        self.groups = plan_groups(candidate.plan)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        if options.max_width < TWO_COLUMNS:
            yield _plan_column(self.groups)
            return
        half = sum(len(lines) for _, lines in self.groups) / 2
        left: list[tuple[str, list[PlanRow]]] = []
        right: list[tuple[str, list[PlanRow]]] = []
        for group in self.groups:
            (left if sum(len(lines) for _, lines in left) < half - 2 else right).append(group)
        pair = Table.grid(padding=(0, 4, 0, 0), expand=True)
        pair.add_column(ratio=1)
        pair.add_column(ratio=1)
        pair.add_row(_plan_column(left), _plan_column(right))
        yield pair


def _plan_column(groups: Iterable[tuple[str, list[PlanRow]]]) -> Table:
    table = rows("bold", "", "fold cyan", "dim")
    for group, lines in groups:
        for place, row in enumerate(lines):
            table.add_row("" if place else group, row.field, row.value, row.set_by)
    return table
