"""Several adapters over one base for the terminal: each on every task, where they are, how to serve them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.report.layout import grid, section


def comparison(found: Mapping[str, Any]) -> RenderableType:
    """The content of adapters.json (trainers.training.compare)."""
    adapters: Mapping[str, str] = found["adapters"]
    losses: Mapping[str, Mapping[str, float | None]] = found["losses"]
    many = (
        tr("{count} {method} adapters over {base}")
        if len(adapters) != 1
        else tr("{count} {method} adapter over {base}")
    )
    title = many.format(count=len(adapters), method=found["method"], base=found["base"])
    parts: list[RenderableType] = [Text(title, style="bold green")]
    parts += [Text(line, style="yellow") for line in _surprises(losses)]
    parts += section(tr("Loss on what each task kept back, nats per token; lower is better"), [_losses(losses)])
    places = grid()
    for name, place in adapters.items():
        places.add_row(name, place)
    parts += section(tr("Adapters, in the folder of the run"), [places])
    parts += section(tr("Serve them together"), _serving(found["serve"]))
    return Group(*parts)


def _losses(losses: Mapping[str, Mapping[str, float | None]]) -> Table:
    """One row a task, one column an adapter; the lowest of each row stands out."""
    models = list(next(iter(losses.values())))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("task", style="bold")
    for name in models:
        table.add_column(name, justify="right")
    for task, row in losses.items():
        known = [loss for loss in row.values() if loss is not None]
        cells = [
            Text("-" if loss is None else f"{loss:.4f}", style="bold green" if known and loss == min(known) else "")
            for loss in (row[name] for name in models)
        ]
        table.add_row(task, *cells)
    return table


def _surprises(losses: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Tasks whose own adapter is not the best at them, or of which nothing is known."""
    lines = []
    for task, row in losses.items():
        known = {name: loss for name, loss in row.items() if loss is not None}
        if task not in known:
            lines.append(
                tr(
                    "{task} has no evaluation examples, so its adapter cannot be judged; set "
                    "eval_fraction in its plan",
                    task=task,
                )
            )
        elif (best := min(known, key=lambda name: known[name])) != task and known[best] < known[task]:
            lines.append(tr("{task} is answered better by {best} than by its own adapter", task=task, best=best))
    return lines


def _serving(engines: Mapping[str, Mapping[str, Any]]) -> list[Text]:
    lines = []
    for how in engines.values():
        if how["command"]:
            lines += [Text(how["command"], style="cyan", overflow="fold"), *map(Text, how["notes"])]
        else:
            lines.append(Text(tr("not as they are: {how}", how=how["refused"])))
    return lines
