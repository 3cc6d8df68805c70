"""The catalogue for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.base.language import tr
from advisor.decide.known_models import MAX_SEQ_LEN, KnownModel
from advisor.report.layout import rows, section
from trainers.amounts import count


def _rest(row: KnownModel) -> str:
    context = f"{row.context // 1024}k" if row.context and row.context >= 1024 else str(row.context or "")
    parts = [context, "" if row.modality == "text" else row.modality, row.licence, "gated" if row.gated else ""]
    parts.append(tr(" or ").join(row.fits) if row.trained_here else tr("not trained here"))
    return " · ".join(part for part in parts if part)


def model_list(found: Sequence[KnownModel], machine: str | None) -> RenderableType:
    """Every model in one line, by family."""
    parts: list[RenderableType] = []
    for family, members in groupby(found, key=lambda row: row.family):
        table = rows("bold", "", "fold")
        for row in members:
            active = (
                tr(", {active_params} active", active_params=count(row.active_params))
                if row.active_params < row.params
                else ""
            )
            table.add_row(row.name, count(row.params) + active, _rest(row))
        parts += section(family, [table])
    summary = tr("{num_found} models", num_found=len(found))
    if machine:
        summary += tr(
            " fit {machine}: one packed row of {max_seq_len:,} tokens at a time, on one device",
            machine=machine,
            max_seq_len=MAX_SEQ_LEN,
        )
    return Group(*parts, Text(""), Text(summary, style="bold"))
