"""The verdict of a preflight for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.base.language import later, tr
from advisor.report.layout import rows, section
from trainers import amounts

if TYPE_CHECKING:
    from trainers.supervision.preflight import Preflight

OUTCOMES = {
    "ready": (later("Ready: the longest batch fits"), "green"),
    "ready_with_warnings": (later("Ready, with warnings"), "yellow"),
    "does_not_fit": (later("The longest batch does not fit"), "red"),
    "blocked": (later("It cannot start"), "red"),
}
MARKS = {True: ("ok", "green"), False: ("no", "bold red"), None: ("!", "yellow")}


def verdict(found: Preflight) -> RenderableType:
    """Everything that was tried and measured."""
    text, style = OUTCOMES[found.outcome]
    parts: list[RenderableType] = [Text(tr(text), style=f"bold {style}")]
    if found.advice:
        parts.append(Text(found.advice))
    table = rows("", "bold", "fold")
    for check in found.checks:
        table.add_row(Text(*MARKS[check.passed]), tr(check.name.replace("_", " ")), check.said)
    parts += section(tr("Checks"), [table])
    if found.measured is not None:
        parts += section(tr("Measured"), [Text(line) for line in _measured(found)])
    return Group(*parts)


def measured_line(found: Preflight) -> str:
    """ "peak 1.9 GiB measured, 2.1 GiB predicted (0.90 of it)"."""
    measured = found.measured
    if measured is None:
        return tr("nothing was measured")
    line = tr("peak {peak_bytes} measured", peak_bytes=amounts.size(measured.peak_bytes))
    if found.predicted_peak_bytes and found.measured_over_predicted:
        line += tr(
            ", {predicted_peak_bytes} predicted ({measured_over_predicted:.2f} of it)",
            predicted_peak_bytes=amounts.size(found.predicted_peak_bytes),
            measured_over_predicted=found.measured_over_predicted,
        )
    return line


def _measured(found: Preflight) -> list[str]:
    measured = found.measured
    if measured is None:
        return []
    return [
        measured_line(found),
        tr(
            "longest example {longest_tokens:,} tokens, micro-batch {micro_batch_size}",
            longest_tokens=measured.longest_tokens,
            micro_batch_size=measured.micro_batch_size,
        ),
        tr(
            "one step {step_seconds:.2f} s, saving {save_seconds:.1f} s, a checkpoint takes {checkpoint_bytes}",
            step_seconds=measured.step_seconds,
            save_seconds=measured.save_seconds,
            checkpoint_bytes=amounts.size(measured.checkpoint_bytes),
        ),
        tr(
            "{total_steps:,} steps take at most {total_seconds_at_most}",
            total_steps=measured.total_steps,
            total_seconds_at_most=amounts.duration(measured.total_seconds_at_most),
        ),
        *found.proofs,
    ]
