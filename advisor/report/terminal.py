"""A Recommendation for the terminal: what to do, whether it fits, why, and what else was considered.

`recommendation(result)` returns something that a rich Console prints at any width, with colour or without.
It renders and computes nothing: every figure is in the Recommendation.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.decide.recommendation import Candidate, Caution, Recommendation
from advisor.probe.hardware import Hardware
from advisor.report import words
from advisor.report.bars import Legend, MemoryBar
from advisor.report.layout import Boxed, grid, rows, section
from advisor.report.machine import findings
from advisor.report.plan import PlanRow, plan_groups
from rules.engine import Trace
from trainers import amounts
from trainers.method import METHODS

VERDICT_STYLE = {"recommended": "green", "nothing_fits": "red", "do_not_fine_tune": "yellow", "repair_first": "red"}
TAKEN_FOR = ("place-read", "words-left-out", "nodes-assumed", "card-of-several-devices", "laptop-power")
"""Codes of what the probe says of words that name more than a card: what they were taken for."""
TWO_COLUMNS = 112
"""From this width on the plan stands in two columns."""


def recommendation(result: Recommendation) -> RenderableType:
    """The whole answer, down to the reason of every single setting."""
    parts: list[RenderableType] = [headline(result)]
    read = [finding for finding in result.hardware.findings if finding.code in TAKEN_FOR]
    parts += section(tr("The machine, as it was read"), [findings(read)] if read else [])
    parts += section(tr("Why not"), [_gate(trace) for trace in result.gates])
    if result.best is not None:
        parts += _best(result, result.best)
    elif result.rejected:
        closest = result.rejected[0]
        parts += section(
            tr("The closest: {method}", method=tr(METHODS[closest.method].title)), _fit_lines(result, closest)
        )
    parts += section(tr("What would help, in this order"), [_numbered(result.remedies)] if result.remedies else [])
    parts += section(tr("What your wish costs"), [Text(cost) for cost in result.wish_cost])
    parts += section(tr("Warnings"), [_warnings(result.warnings)] if result.warnings else [])
    parts += section(tr("Alternatives"), [_candidates(result.alternatives)] if result.alternatives else [])
    parts += section(tr("Rejected"), [_candidates(result.rejected)] if result.rejected else [])
    parts += section(tr("What would change the answer"), [_changes(result)] if result.changes else [])
    parts += section(tr("After the run"), [_afterwards(result)] if result.afterwards else [])
    parts += section(tr("Not known, and it would matter"), [_unknown(result)] if result.unknown_facts else [])
    parts.append(settings(result))
    return Group(*parts)


def settings(result: Recommendation) -> RenderableType:
    """The rule behind each setting of the plan, with its reason and sources."""
    if result.best is None or not any(trace.sets for trace in result.best.settings):
        return Group()
    return Group(*section(tr("Why these settings"), [_settings(result.best)]))


def headline(result: Recommendation) -> RenderableType:
    """The answer in a box: what is advised, for what, and what the model was taken for."""
    lines = [Text(result.headline, style="bold"), Text(words.situation(result), style="dim")]
    lines += [Text(note, style="dim") for note in result.model.notes]
    return Boxed(Group(*lines), VERDICT_STYLE[result.verdict])


def _best(result: Recommendation, best: Candidate) -> list[RenderableType]:
    memory_title = tr("Memory of one GPU") if best.plan.accelerator != "cpu" else tr("Memory")
    parts: list[RenderableType] = []
    if result.gates:
        parts += section(
            tr("If you train anyway"), [Text(tr("{method} would be advised.", method=tr(METHODS[best.method].title)))]
        )
    parts += section(memory_title, _fit_lines(result, best))
    parts += section(tr("Time and disk"), [_time_and_disk(best, result.hardware)])
    parts += section(tr("Why"), [_reasons(best.reasons)] if best.reasons else [])
    parts += section(tr("Plan"), [PlanTable(best)])
    parts += section(tr("Delivery"), _delivery(best))
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
            lines.append(Text(f"{name}  {tr('{size} free', size=amounts.size(gpu.free_bytes))}", style="dim"))
            lines.append(MemoryBar(memory.peak_parts, high_bytes=high, limit_bytes=gpu.free_bytes, scale_bytes=scale))
    counters = tr(
        "Peak in {phase}: allocated {allocated}, reserved {reserved}, device {device}",
        phase=tr(memory.peak_phase.replace("_", " ")),
        allocated=amounts.size(memory.allocated.likely),
        reserved=amounts.size(memory.reserved.likely),
        device=amounts.size(memory.device.likely),
    )
    corrected = tr("; corrected by {source}", source=memory.calibrated_by) if memory.calibrated_by else ""
    return [*lines, Legend(memory.peak_parts), Text(counters + corrected, style="dim")]


def _fit_sentence(candidate: Candidate) -> Text:
    text = Text(words.sizes(candidate.memory.device))
    if candidate.available_bytes is None:
        return text.append(tr("; free memory is not known"), style="yellow")
    text.append(tr(" of {size} free: ", size=amounts.size(candidate.available_bytes)))
    if candidate.fits:
        return text.append(tr("fits"), style="green")
    return text.append(tr("does not fit"), style="bold red")


def _time_and_disk(best: Candidate, hardware: Hardware) -> Table:
    table = grid()
    for place, line in enumerate(words.time_lines(best)):
        table.add_row("" if place else tr("time"), line)
    for place, line in enumerate(words.offer_lines(best, hardware)):
        table.add_row("" if place else tr("cost"), line)
    for place, line in enumerate(words.disk_lines(best)):
        table.add_row("" if place else tr("disk"), line)
    return table


def _warnings(warnings: Iterable[Caution]) -> Table:
    table = rows("yellow", "fold")
    for warning in warnings:
        table.add_row("!", warning.message)
        if warning.fix:
            table.add_row("", Text(f"-> {warning.fix}", style="cyan"))
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
    return Text(message).append(f"  [{tr(trace.strength)}: {', '.join(trace.sources)}]", style="dim")


def _gate(trace: Trace) -> RenderableType:
    text = Text.assemble((f"{trace.rule_id}  ", "cyan"), _with_sources(trace.message, trace))
    return Group(text, Text(tr("Instead: {fix}", fix=trace.fix), style="bold")) if trace.fix else text


def _delivery(best: Candidate) -> list[RenderableType]:
    delivery = best.plan.delivery
    artifact = tr(delivery.artifact.replace("_", " "))
    delivered = tr("{artifact}, {weights} weights, for {engine}")
    lines: list[RenderableType] = [
        Text(delivered.format(artifact=artifact, weights=delivery.weights, engine=delivery.engine))
    ]
    if delivery.serve_command:
        lines.append(Text(delivery.serve_command, style="cyan", overflow="fold"))
    return [*lines, *(Text(note, style="dim") for note in delivery.notes)]


def _candidates(candidates: Iterable[Candidate]) -> Table:
    table = rows("bold", "", "fold")
    for candidate in candidates:
        need = Text(amounts.size(candidate.memory.device.high), style="" if candidate.fits else "red")
        table.add_row(tr(METHODS[candidate.method].title), need, "\n".join(candidate.why_not))
    return table


def _changes(result: Recommendation) -> Table:
    table = rows("fold", "bold", "fold cyan")
    for change in result.changes:
        table.add_row(change.what, f"-> {words.outcome(change)}", change.flag)
    return table


def _afterwards(result: Recommendation) -> Table:
    table = rows("", "fold")
    for place, step in enumerate(result.afterwards, start=1):
        text = Text(step.what)
        if step.command:
            text.append(f"\n{step.command}", style="cyan")
        table.add_row(f"{place}.", text)
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
            table.add_row("" if place else tr(group), row.field, row.value, row.set_by)
    return table
