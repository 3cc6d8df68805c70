"""The verdict of a preflight for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.report.layout import rows, section
from trainers import amounts

if TYPE_CHECKING:
    from trainers.supervision.preflight import Preflight

OUTCOMES = {
    "ready": ("Ready: the longest batch fits", "green"),
    "ready_with_warnings": ("Ready, with warnings", "yellow"),
    "does_not_fit": ("The longest batch does not fit", "red"),
    "blocked": ("It cannot start", "red"),
}
MARKS = {True: ("ok", "green"), False: ("no", "bold red"), None: ("!", "yellow")}


def verdict(found: Preflight) -> RenderableType:
    """Everything that was tried and measured."""
    text, style = OUTCOMES[found.outcome]
    parts: list[RenderableType] = [Text(text, style=f"bold {style}")]
    if found.advice:
        parts.append(Text(found.advice))
    table = rows("", "bold", "fold")
    for check in found.checks:
        table.add_row(Text(*MARKS[check.passed]), check.name.replace("_", " "), check.said)
    parts += section("Checks", [table])
    if found.measured is not None:
        parts += section("Measured", [Text(line) for line in _measured(found)])
    return Group(*parts)


def measured_line(found: Preflight) -> str:
    """ "peak 1.9 GiB measured, 2.1 GiB predicted (0.90 of it)"."""
    measured = found.measured
    if measured is None:
        return "nothing was measured"
    line = f"peak {amounts.size(measured.peak_bytes)} measured"
    if found.predicted_peak_bytes and found.measured_over_predicted:
        line += f", {amounts.size(found.predicted_peak_bytes)} predicted ({found.measured_over_predicted:.2f} of it)"
    return line


def _measured(found: Preflight) -> list[str]:
    measured = found.measured
    if measured is None:
        return []
    return [
        measured_line(found),
        f"longest example {measured.longest_tokens:,} tokens, micro-batch {measured.micro_batch_size}",
        f"one step {measured.step_seconds:.2f} s, saving {measured.save_seconds:.1f} s, "
        f"a checkpoint takes {amounts.size(measured.checkpoint_bytes)}",
        f"{measured.total_steps:,} steps take at most {amounts.duration(measured.total_seconds_at_most)}",
    ]
