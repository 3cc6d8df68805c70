"""Estimates for the terminal: one plan with a bar for each phase, or several plans side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.estimate.result import COMPONENTS, MemoryEstimate, StorageEstimate, TimeEstimate
from advisor.report import words
from advisor.report.bars import Legend, MemoryBar
from advisor.report.layout import grid, rows, section
from trainers import amounts
from trainers.method import METHODS
from trainers.plan import TrainingPlan


class Largest(msgspec.Struct, frozen=True, kw_only=True):
    """What would still fit, each changed alone; 0: not even the smallest."""

    micro_batch_size: int
    """Sequences a GPU and forward pass."""
    max_seq_len: int
    """Tokens of one sequence."""
    lora_rank: int | None
    """Rank of the adapter; null where none is trained."""


class PlanEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is predicted of one plan."""

    model: str
    """The base model."""
    plan: TrainingPlan
    """The whole plan, as `launch` takes it."""
    memory: MemoryEstimate
    """Peak memory of the fullest GPU, by phase and counter."""
    time: TimeEstimate | None
    """Duration; null when the speed of the device is not known."""
    storage: StorageEstimate
    """Disk that the run needs."""
    available_bytes: int | None
    """Free memory of the smallest GPU used (RAM on a CPU); null: not known."""
    fits: bool
    """Whether `memory.device.high` is at most that; true where it is not known."""
    largest: Largest | None
    """What would still fit; null where the free memory is not known."""


class Estimates(msgspec.Struct, frozen=True, kw_only=True):
    """What `estimate --json` prints."""

    schema: Literal["sft-advisor/estimate/v1"] = "sft-advisor/estimate/v1"
    """Name and version of this document."""
    estimates: tuple[PlanEstimate, ...]
    """The plan; with `estimate --compare` one of each method."""


def estimate(found: PlanEstimate, *, timeline: bool = False) -> RenderableType:
    """One plan: what it is, the peak, a bar for each phase, time, disk, and what is left out.

    `timeline`: one step instant by instant as well.
    """
    memory = found.memory
    parts: list[RenderableType] = [
        Text(tr("{title} of {model}", title=tr(METHODS[found.plan.method].title), model=found.model), style="bold"),
        Text(_conditions(found.plan), style="dim"),
    ]
    place = tr("Memory") if found.plan.accelerator == "cpu" else tr("Memory of one GPU")
    parts += section(tr("{place}, by phase", place=place), [_phases(found), Legend(_all_parts(memory))])
    parts += section(tr("One step, instant by instant"), [_timeline(memory)] if timeline and memory.timeline else [])
    parts += section(tr("Peak"), [_counters(found)])
    parts += section(tr("Time"), [_time(found)])
    parts += section(tr("Files"), [_files(found)])
    parts += section(
        tr("The largest that fits, each changed alone"), [_largest(found.largest)] if found.largest else []
    )
    parts += section(tr("How each part is known"), [_known(memory)] if memory.known_by else [])
    notes = [Text(tr("Assumed: {text}", text=text), style="dim") for text in memory.assumptions]
    notes += [Text(tr("Not modelled: {text}", text=text), style="dim") for text in memory.not_modelled]
    rests = [
        tr("Stack: {stack}", stack=memory.stack),
        *([tr("Corrected by {calibrated_by}", calibrated_by=memory.calibrated_by)] if memory.calibrated_by else []),
    ]
    parts += section(tr("What the figures rest on"), [*(Text(line, style="dim") for line in rests), *notes])
    return Group(*parts)


def comparison(found: Sequence[PlanEstimate]) -> RenderableType:
    """Plans side by side on one scale."""
    scale = max([each.memory.device.high for each in found] + [each.available_bytes or 0 for each in found])
    parts: list[RenderableType] = [Text(found[0].model, style="bold")]
    for each in found:
        title = Text.assemble((tr(METHODS[each.plan.method].title), "bold"), f"  {words.sizes(each.memory.device)}  ")
        title.append(*_verdict(each))
        bar = MemoryBar(
            each.memory.peak_parts,
            high_bytes=each.memory.device.high,
            limit_bytes=each.available_bytes,
            scale_bytes=scale,
        )
        parts += [Text(""), title, bar]
    merged = {name: max(each.memory.peak_parts.get(name, 0) for each in found) for name in COMPONENTS}
    parts += [
        Text(""),
        Legend(merged),
        Text(tr("(largest of the plans)"), style="dim"),
        Text(""),
        _side_by_side(found),
    ]
    return Group(*parts)


def _side_by_side(found: Sequence[PlanEstimate]) -> Table:
    table = rows("bold", *["fold"] * len(found))
    table.show_header = True
    for column, each in zip(table.columns[1:], found, strict=True):
        column.header = tr(METHODS[each.plan.method].title)
    lines: dict[str, Callable[[PlanEstimate], str]] = {
        tr("allocated"): lambda each: amounts.size(each.memory.allocated.likely),
        tr("reserved"): lambda each: amounts.size(each.memory.reserved.likely),
        tr("device"): lambda each: amounts.size(each.memory.device.likely),
        tr("up to"): lambda each: amounts.size(each.memory.device.high),
        tr("free"): lambda each: amounts.size(each.available_bytes),
        tr("host RAM"): lambda each: amounts.size(each.memory.host_bytes),
        tr("peak in"): lambda each: tr(each.memory.peak_phase.replace("_", " ")),
        tr("duration"): lambda each: amounts.duration(each.time.total_seconds if each.time else None),
        tr("result"): lambda each: amounts.size(each.storage.artifact_bytes),
        tr("checkpoint"): lambda each: amounts.size(each.storage.checkpoint_bytes),
        tr("disk at most"): lambda each: amounts.size(each.storage.peak_output_bytes),
        tr("batch"): lambda each: tr(
            "{micro_batch_size} x {max_seq_len:,} tokens",
            micro_batch_size=each.plan.micro_batch_size,
            max_seq_len=each.plan.max_seq_len,
        ),
        tr("sharding"): lambda each: each.plan.sharding,
        tr("optimizer"): lambda each: each.plan.optimizer,
        tr("checkpointing"): lambda each: words.plain(each.plan.gradient_checkpointing),
    }
    for name, value in lines.items():
        table.add_row(name, *(value(each) for each in found))
    return table


def _conditions(plan: TrainingPlan) -> str:
    parts = [
        f"{plan.num_gpus} x {plan.accelerator}",
        tr(
            "{micro_batch_size} x {max_seq_len:,} tokens",
            micro_batch_size=plan.micro_batch_size,
            max_seq_len=plan.max_seq_len,
        ),
    ]
    if plan.sharding != "none":
        parts.append(plan.sharding + (tr(" with CPU offload") if plan.cpu_offload else ""))
    parts.append(plan.optimizer)
    parts.append(tr("checkpointing") if plan.gradient_checkpointing else tr("no checkpointing"))
    parts += [
        tr("{attention} attention", attention=plan.attention),
        tr("{loss_kernel} loss", loss_kernel=plan.loss_kernel),
    ]
    if plan.lora_rank:
        parts.append(tr("rank {lora_rank}", lora_rank=plan.lora_rank))
    return ", ".join(parts)


def _phases(found: PlanEstimate) -> Table:
    memory = found.memory
    scale = max([memory.device.high, found.available_bytes or 0, *(phase.total_bytes for phase in memory.phases)])
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for phase in memory.phases:
        if not phase.total_bytes:
            continue
        at_peak = phase.phase == memory.peak_phase
        bar = MemoryBar(
            phase.parts,
            high_bytes=memory.device.high if at_peak else None,
            limit_bytes=found.available_bytes,
            scale_bytes=scale,
        )
        name = Text(tr(phase.phase.replace("_", " ")), style="bold" if at_peak else "")
        table.add_row(name, bar, amounts.size(phase.total_bytes))
    return table


def _known(memory: MemoryEstimate) -> Table:
    table = rows("", "fold dim")
    for name, num_bytes in _all_parts(memory).items():
        if num_bytes and name in memory.known_by:
            table.add_row(tr(words.COMPONENT_NAMES[name]), memory.known_by[name])
    return table


def _timeline(memory: MemoryEstimate) -> Table:
    """Tensors at each instant, the allocator's reserve as the mark; context and libraries come on top."""
    scale = max(max(instant.allocated_bytes, instant.reserved_bytes) for instant in memory.timeline)
    fullest = max(memory.timeline, key=lambda instant: instant.allocated_bytes)
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for instant in memory.timeline:
        name = Text(instant.label, style="bold" if instant is fullest else "")
        bar = MemoryBar(instant.parts, limit_bytes=instant.reserved_bytes, scale_bytes=scale)
        table.add_row(name, bar, amounts.size(instant.allocated_bytes))
    table.add_row("", Text(tr("│ reserved by the allocator; context and libraries come on top"), style="dim"), "")
    return table


def _all_parts(memory: MemoryEstimate) -> dict[str, int]:
    """Each component at its largest, for the legend: one that is there in any phase is named."""
    names = [name for phase in memory.phases for name in phase.parts]
    return {name: max(phase.parts.get(name, 0) for phase in memory.phases) for name in dict.fromkeys(names)}


def _counters(found: PlanEstimate) -> Table:
    table = rows("bold", "", "fold dim")
    memory, on_cpu = found.memory, found.plan.accelerator == "cpu"
    shown = tr("resident memory of the process") if on_cpu else tr("as nvidia-smi shows the process")
    for name, band, meaning in (
        (
            tr("allocated"),
            memory.allocated,
            tr("tensors") if on_cpu else tr("tensors, torch.cuda.max_memory_allocated()"),
        ),
        (tr("reserved"), memory.reserved, tr("held by the allocator")),
        (tr("device"), memory.device, tr("{shown}; fit is decided on its upper end", shown=shown)),
    ):
        table.add_row(
            name,
            tr(
                "{likely} ({low} to {high})",
                likely=amounts.size(band.likely),
                low=amounts.size(band.low),
                high=amounts.size(band.high),
            ),
            meaning,
        )
    table.add_row(tr("free"), amounts.size(found.available_bytes), Text(*_verdict(found)))
    table.add_row(tr("host RAM"), amounts.size(memory.host_bytes), tr("of all processes of one node"))
    return table


def _verdict(found: PlanEstimate) -> tuple[str, str]:
    if found.available_bytes is None:
        return tr("free memory is not known"), "yellow"
    return (tr("fits"), "green") if found.fits else (tr("does not fit"), "bold red")


def _time(found: PlanEstimate) -> RenderableType:
    lines = [Text(line) for line in words.time_lines(found)]
    return Group(*lines, *([Text(found.time.basis, style="dim")] if found.time else []))


def _files(found: PlanEstimate) -> Table:
    table = rows("fold", "", "fold dim")
    for item in found.storage.items:
        notes = [tr("exact") if item.exact else tr("about"), *([] if item.kept else [tr("while it runs")])]
        table.add_row(item.name, amounts.size(item.num_bytes), ", ".join(notes))
    table.add_row(
        tr("at most in {output_dir}", output_dir=found.plan.output_dir),
        amounts.size(found.storage.peak_output_bytes),
        "",
        style="bold",
    )
    return table


def _largest(largest: Largest) -> Table:
    table = grid()
    table.add_row(tr("micro-batch"), str(largest.micro_batch_size))
    table.add_row(tr("sequence"), tr("{max_seq_len:,} tokens", max_seq_len=largest.max_seq_len))
    if largest.lora_rank is not None:
        table.add_row(tr("rank"), f"{largest.lora_rank:,}")
    return table
