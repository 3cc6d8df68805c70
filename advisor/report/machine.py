"""The machine for the terminal: what can be used, what is taken and by whom, and what is wrong, at a glance."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from advisor.base.language import later, tr
from advisor.probe.hardware import Disk, Finding, Gpu, Hardware, Rates
from advisor.report import words
from advisor.report.layout import grid, section
from trainers import amounts

KIND_NAMES = {
    "gpu": "",
    "mig": later("MIG slice"),
    "vgpu": later("virtual GPU"),
    "unified": later("shares memory with the CPU"),
}
STATE_NAMES = {
    "lost": later("lost: the driver cannot reach it"),
    "no_permission": later("no permission to use it"),
    "prohibited": later("compute is prohibited on it"),
    "error": later("cannot be read"),
}
SEVERITY_STYLE = {later("error"): "red", later("warning"): "yellow", later("note"): "dim"}


def machine(hardware: Hardware) -> RenderableType:
    """Everything that the probe found."""
    parts: list[RenderableType] = [Text(one_line(hardware), style="bold")]
    if hardware.gpus:
        parts += section(tr("GPUs"), [_gpus(hardware)])
    parts += section(tr("Around them") if hardware.gpus else tr("The machine"), [_host(hardware)])
    parts += section(tr("Findings"), [findings(hardware.findings)] if hardware.findings else [])
    return Group(*parts)


def measured_rates(rates: Rates) -> str:
    """What was measured of a device, in one line."""
    on = tr(" on {threads} threads", threads=rates.threads) if rates.threads else ""
    parts = [
        tr("{matrix_tflops:,.3g} TFLOPS in {dtype}{on}", matrix_tflops=rates.matrix_tflops, dtype=rates.dtype, on=on),
        tr("{copy_gbs:,.3g} GB/s copied", copy_gbs=rates.copy_gbs),
    ]
    return ", ".join(
        [*parts, *([tr("{rate:,.3g} GB/s from the host", rate=rates.link_gbs)] if rates.link_gbs else [])]
    )


def one_line(hardware: Hardware) -> str:
    """What a run can use, in one line: "2x RTX 4090, 23.0 GiB free on each" or "no usable GPU: ..."."""
    gpus = hardware.usable_gpus
    if not gpus:
        ram = hardware.host.ram_available_bytes
        reason = {"absent": tr("none found"), "unusable": tr("GPUs are there but none can be used")}
        text = reason.get(hardware.state, tr("none can be used"))
        return tr("No usable GPU ({text}); the CPU has {ram} of RAM available", text=text, ram=amounts.size(ram))
    free = [amounts.size(gpu.free_bytes) for gpu in gpus]
    if len(gpus) == 1:
        amount = tr("{free} free", free=free[0])
    elif len(set(free)) == 1:
        amount = tr("{free} free on each", free=free[0])
    else:
        amount = tr(
            "{smallest_free_bytes} free on the fullest",
            smallest_free_bytes=amounts.size(hardware.smallest_free_bytes),
        )
    nodes = tr(" on each of {num_nodes} nodes", num_nodes=hardware.num_nodes) if hardware.num_nodes > 1 else ""
    return f"{words.gpu_names(gpus)}, {amount}{nodes}"


def findings(found: Iterable[Finding]) -> RenderableType:
    """What a person should know, worst first, each with its remedy."""
    order = list(SEVERITY_STYLE)
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in sorted(found, key=lambda finding: order.index(finding.severity)):
        body = Text(finding.what)
        if finding.why:
            body.append(f"\n{finding.why}", style="dim")
        if finding.fix:
            body.append(f"\n{finding.fix}", style="cyan")
        table.add_row(Text(tr(finding.severity), style=SEVERITY_STYLE[finding.severity]), body)
    return table


class UsageBar:
    """Used memory as blocks, free memory as dots."""

    def __init__(self, used_bytes: int, total_bytes: int) -> None:
        self.share = min(1.0, used_bytes / total_bytes) if total_bytes else 0.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        width = min(options.max_width, 40)
        used = round(self.share * width) if self.share < 0.005 else max(1, round(self.share * width))
        yield Segment("█" * used, Style(color="yellow"))
        yield Segment("·" * (width - used), Style(color="green"))


def _gpus(hardware: Hardware) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, style="bold", justify="right")
    table.add_column(overflow="fold", ratio=3)
    table.add_column(ratio=2)
    table.add_column(no_wrap=True, justify="right")
    usable = hardware.usable_gpus  # not by index: MIG instances share that of their card
    for gpu in hardware.gpus:
        table.add_row(str(gpu.index), _name(gpu, gpu in usable), _bar(gpu), _free(gpu))
        for note in _notes(gpu):
            table.add_row("", note, "", "")
    return table


def _name(gpu: Gpu, usable: bool) -> Text:
    name = Text(words.short_name(gpu.name), style="green" if usable else "red")
    extras = [
        gpu.mig_profile,
        tr(KIND_NAMES[gpu.kind]),
        f"sm {gpu.compute_capability}" if gpu.sm else gpu.architecture,
    ]
    return name.append("".join(f"  {extra}" for extra in extras if extra), style="dim")


def _bar(gpu: Gpu) -> RenderableType:
    if gpu.total_bytes is None or gpu.free_bytes is None:
        return ""
    return UsageBar(gpu.total_bytes - gpu.free_bytes, gpu.total_bytes)


def _free(gpu: Gpu) -> str:
    if gpu.state != "ok" and gpu.total_bytes is None:
        return "-"
    return tr(
        "{free_bytes} free of {total_bytes}",
        free_bytes=amounts.size(gpu.free_bytes),
        total_bytes=amounts.size(gpu.total_bytes),
    )


def _notes(gpu: Gpu) -> Iterable[Text]:
    if gpu.state != "ok":
        yield Text(tr(STATE_NAMES[gpu.state]), style="red")
    if not gpu.visible:
        yield Text(tr("hidden from this process"), style="yellow")
    if gpu.measured is not None:
        yield Text(tr("measured: {measured_rates}", measured_rates=measured_rates(gpu.measured)), style="dim")
    if gpu.display_active:
        yield Text(tr("a display is attached"), style="dim")
    for process in gpu.processes:
        whose = tr(" of yours") if process.mine else ""
        name = f"{process.name or tr('process')} ({process.pid})"
        yield Text(
            tr(
                "taken: {used_bytes} by {name}{whose}",
                used_bytes=amounts.size(process.used_bytes),
                name=name,
                whose=whose,
            ),
            style="yellow",
        )


def _host(hardware: Hardware) -> Table:
    host = hardware.host
    table = grid()
    cpu = ", ".join(
        part
        for part in (host.cpu_name, tr("{count} cores", count=host.cpu_cores) if host.cpu_cores else None)
        if part
    )
    table.add_row(tr("cpu"), cpu or tr("unknown"))
    if host.measured is not None:
        table.add_row("", tr("measured: {measured_rates}", measured_rates=measured_rates(host.measured)))
    table.add_row(
        tr("ram"),
        tr(
            "{ram_available_bytes} available of {ram_total_bytes}",
            ram_available_bytes=amounts.size(host.ram_available_bytes),
            ram_total_bytes=amounts.size(host.ram_total_bytes),
        ),
    )
    for name, disk in ((tr("runs"), host.output), (tr("cache"), host.cache), (tr("temp"), host.temp)):
        if disk is not None:
            table.add_row(name, _disk(disk))
    if hardware.driver_version:
        cuda = tr(", CUDA up to {cuda_version}", cuda_version=hardware.cuda_version) if hardware.cuda_version else ""
        table.add_row(tr("driver"), f"{hardware.driver_version}{cuda}")
    if len(hardware.usable_gpus) > 1:
        table.add_row(
            tr("link"),
            {"unknown": tr("not known"), "p2p": tr("PCIe, peer to peer")}.get(hardware.link, hardware.link),
        )
    if host.scheduler:
        table.add_row(tr("scheduler"), host.scheduler)
    if hardware.software is not None:
        versions = {name: value for name, value in msgspec.structs.asdict(hardware.software).items() if value}
        build = f" ({versions.pop('torch_build')})" if versions.get("torch_build") else ""
        shown = [f"{name} {value}{build if name == 'torch' else ''}" for name, value in versions.items()]
        table.add_row(tr("software"), ", ".join(shown))
    return table


def _disk(disk: Disk) -> str:
    return tr(
        "{free_bytes} free of {total_bytes}  ({path})",
        free_bytes=amounts.size(disk.free_bytes),
        total_bytes=amounts.size(disk.total_bytes),
        path=disk.path,
    )
