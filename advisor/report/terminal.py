"""A Recommendation for the terminal: what to do, whether it fits, why, and what else was considered.

`recommendation(result)` gives something that a rich Console prints at any width, with colour or without.
It renders and computes nothing: every figure is in the Recommendation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from advisor.recommendation import Candidate, Recommendation
from advisor.report import words
from advisor.report.bars import Legend, MemoryBar
from advisor.report.plan import plan_rows
from rules.engine import Trace

VERDICT_STYLE = {"recommended": "green", "nothing_fits": "red", "do_not_fine_tune": "yellow"}


def recommendation(result: Recommendation) -> RenderableType:
    """The whole answer."""
    parts: list[RenderableType] = [_headline(result)]
    if result.gates:
        parts += _section("Why not", [_gate(trace) for trace in result.gates])
    if result.best is not None:
        parts += _best(result, result.best)
    if result.rejected and result.best is None:
        parts += _closest(result.rejected[0])
    parts += _section("What would help, in this order", [f"{i}. {r}" for i, r in enumerate(result.remedies, start=1)])
    parts += _section("What your wish costs", result.wish_cost)
    parts += _section("Warnings", [Text.assemble(("! ", "yellow"), warning) for warning in result.warnings])
    parts += _others(result)
    if result.changes:
        parts += _section("What would change the answer", [_changes(result)])
    parts += _section("Not known, and it would matter", [_unknown(result)] if result.unknown_facts else [])
    return Group(*parts)


def _headline(result: Recommendation) -> RenderableType:
    lines = [Text(result.headline, style="bold")]
    lines.append(Text(_situation(result), style="dim"))
    return Panel(Group(*lines), border_style=VERDICT_STYLE[result.verdict], expand=True)


def _situation(result: Recommendation) -> str:
    parts = [f"{words.count(result.model.num_params)} parameters", machine(result)]
    examples = result.facts.get("data.examples")
    if examples is not None:
        parts.append(f"{words.count(examples)} examples")
    tasks = result.facts.get("task.count", 1)
    if tasks > 1:
        parts.append(f"{words.count(tasks)} tasks")
    return " · ".join(parts)


def machine(result: Recommendation) -> str:
    """ "2x RTX 4090", "8x H100 on 4 nodes", or "CPU"."""
    gpus = result.hardware.usable_gpus
    if not gpus:
        return "no usable GPU"
    groups: dict[str, int] = {}
    for gpu in gpus:
        name = words.short_name(gpu.name)
        groups[name] = groups.get(name, 0) + 1
    text = " + ".join(
        f"{number}x {name}" if number > 1 or len(groups) > 1 else name for name, number in groups.items()
    )
    nodes = result.hardware.num_nodes
    return f"{nodes} nodes with {text}" if nodes > 1 else text


def _best(result: Recommendation, best: Candidate) -> list[RenderableType]:
    return [
        *_section("Memory of one GPU" if result.hardware.usable_gpus else "Memory", _memory(result, best)),
        *_section("Time and disk", [_time_and_disk(best)]),
        *_section("Plan", [_plan_table(best)]),
        *_section("Why", [_reasons(result, best.reasons)] if best.reasons else ["No rule speaks for or against it."]),
        *_section("Delivery", _delivery(best)),
    ]


def _closest(candidate: Candidate) -> list[RenderableType]:
    name = words.METHOD_NAMES[candidate.method]
    return _section(f"The closest: {name}", _fit_lines(candidate))


def _memory(result: Recommendation, best: Candidate) -> list[RenderableType]:
    gpus = result.hardware.usable_gpus
    if best.plan.device_uuids:
        gpus = tuple(gpu for gpu in gpus if gpu.uuid in best.plan.device_uuids) or gpus
    groups = words.alike(gpus)
    if len(groups) <= 1:
        return _fit_lines(best)
    lines: list[RenderableType] = [_fit_sentence(best)]
    scale = max([best.memory.device.high, *(gpu.free_bytes or 0 for gpu, _ in groups)])
    for gpu, indices in groups:
        lines.append(
            f"GPU {words.index_range(indices)}  {words.short_name(gpu.name)}  {words.size(gpu.free_bytes)} free"
        )
        lines.append(
            MemoryBar(
                best.memory.peak_parts,
                high_bytes=best.memory.device.high,
                limit_bytes=gpu.free_bytes,
                scale_bytes=scale,
            )
        )
    return [*lines, Legend(best.memory.peak_parts)]


def _fit_lines(candidate: Candidate) -> list[RenderableType]:
    memory = candidate.memory
    bar = MemoryBar(memory.peak_parts, high_bytes=memory.device.high, limit_bytes=candidate.available_bytes)
    lines: list[RenderableType] = [_fit_sentence(candidate), bar, Legend(memory.peak_parts)]
    lines.append(
        Text(
            f"peak in {memory.peak_phase.replace('_', ' ')}; allocated {words.size(memory.allocated.likely)}, "
            f"reserved {words.size(memory.reserved.likely)}, device {words.size(memory.device.likely)}"
            + (f"; corrected by {memory.calibrated_by}" if memory.calibrated_by else ""),
            style="dim",
        )
    )
    return lines


def _fit_sentence(candidate: Candidate) -> Text:
    text = Text(words.sizes(candidate.memory.device))
    if candidate.available_bytes is None:
        return text.append("; free memory is not known", style="yellow")
    text.append(f" of {words.size(candidate.available_bytes)} free: ")
    return text.append("fits", style="green") if candidate.fits else text.append("does not fit", style="red bold")


def _time_and_disk(best: Candidate) -> Table:
    table = _grid()
    time = best.time
    if time is None or time.total_seconds is None:
        speed = f"{words.count(time.tokens_per_second)} tokens/s" if time else "not enough is known"
        table.add_row("time", f"unknown in total; {speed}")
    else:
        steps = f"{words.count(time.num_steps)} steps, {words.count(time.tokens_per_second)} tokens/s"
        table.add_row(
            "time",
            f"{words.duration(time.total_seconds)} "
            f"({words.duration_range(time.low_seconds, time.high_seconds)}); {steps}",
        )
    if time is not None and time.gpu_hours is not None and best.plan.num_gpus > 1:
        table.add_row("", f"{time.gpu_hours:,.1f} GPU-hours")
    storage = best.storage
    table.add_row("disk", f"{words.size(storage.peak_output_bytes)} at the largest moment in {best.plan.output_dir}")
    table.add_row(
        "", f"result {words.size(storage.artifact_bytes)}, checkpoint {words.size(storage.checkpoint_bytes)}"
    )
    if storage.cache_bytes:
        table.add_row("", f"base weights {words.size(storage.cache_bytes)} in the cache")
    return table


def _plan_table(best: Candidate) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, style="dim")
    for group, rows in plan_rows(best.plan):
        for place, row in enumerate(rows):
            table.add_row(group if place == 0 else "", row.field, row.value, row.set_by)
    return table


def _reasons(result: Recommendation, traces: Iterable[Trace]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for trace in sorted(traces, key=lambda trace: -abs(trace.weight)):
        sign = Text(f"{trace.weight:+d}" if trace.weight else "", style="green" if trace.weight > 0 else "red")
        body = Text(trace.message).append(f"  {trace.strength}: {', '.join(trace.sources)}", style="dim")
        table.add_row(sign, trace.rule_id, body)
    return table


def _gate(trace: Trace) -> RenderableType:
    text = Text.assemble((trace.rule_id, "cyan"), "  ", trace.message)
    text.append(f"  {trace.strength}: {', '.join(trace.sources)}", style="dim")
    return Group(text, Text(f"Instead: {trace.fix}", style="bold")) if trace.fix else text


def _delivery(best: Candidate) -> list[RenderableType]:
    delivery = best.plan.delivery
    lines: list[RenderableType] = [
        Text(f"{delivery.artifact.replace('_', ' ')}, {delivery.weights} weights, served by {delivery.engine}")
    ]
    if delivery.serve_command:
        lines.append(Text(delivery.serve_command, style="cyan", overflow="fold"))
    lines += [Text(note, style="dim") for note in delivery.notes]
    return lines


def _others(result: Recommendation) -> Iterator[RenderableType]:
    if result.alternatives:
        yield from _section("Alternatives", [_candidate_table(result.alternatives)])
    if result.rejected:
        yield from _section("Rejected", [_candidate_table(result.rejected)])


def _candidate_table(candidates: Iterable[Candidate]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for candidate in candidates:
        need = Text(words.size(candidate.memory.device.high), style="" if candidate.fits else "red")
        table.add_row(words.METHOD_NAMES[candidate.method], need, "\n".join(candidate.why_not) or "-")
    return table


def _changes(result: Recommendation) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold", style="cyan")
    for change in result.changes:
        then = words.METHOD_NAMES[change.method] if change.method else change.verdict.replace("_", " ")
        table.add_row(change.what, f"-> {then}", change.flag)
    return table


def _unknown(result: Recommendation) -> Table:
    table = _grid()
    for fact, how in result.unknown_facts.items():
        table.add_row(fact, Text(how, style="cyan"))
    return table


def _grid() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _section(title: str, body: Iterable[RenderableType]) -> list[RenderableType]:
    """A titled block, or nothing when there is nothing to say."""
    lines = list(body)
    if not lines:
        return []
    return [
        Text(""),
        Rule(Text(title, style="bold"), align="left", style="dim"),
        *(Padding(line, (0, 0, 0, 1)) for line in lines),
    ]
