"""The verdict on a dataset for the terminal: findings first, then figures, lengths as a picture, one example."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.data.verdict import DataVerdict
from advisor.report import words
from advisor.report.layout import grid, rows, section

LEVELS = {"block": ("blocks", "bold red"), "warn": ("warning", "yellow"), "note": ("note", "dim")}
SHOWN_EXAMPLE = 1500
"""Characters of the first example that are shown."""


def data_verdict(verdict: DataVerdict) -> RenderableType:
    """Everything that was found."""
    blocking = len(verdict.blocking)
    title = f"{blocking} finding{'s' if blocking > 1 else ''} would stop a run" if blocking else "Ready to train on"
    parts: list[RenderableType] = [
        Text(title, style="bold red" if blocking else "bold green"),
        Text(f"{verdict.profile.source}: {words.dataset_line(verdict.profile)}"),
    ]
    parts += section("Findings", [_findings(verdict)] if verdict.findings else [])
    parts += section("Figures", [_figures(verdict)])
    parts += section("Lengths in tokens", [_lengths(verdict)] if verdict.length_histogram else [])
    parts += section("The first example, as the model sees it; what trains is marked", _example(verdict))
    return Group(*parts)


def _findings(verdict: DataVerdict) -> Table:
    table = rows("", "cyan", "fold")
    order = list(LEVELS)
    for finding in sorted(verdict.findings, key=lambda finding: order.index(finding.level)):
        said = Text(finding.what)
        if finding.lines:
            said.append(f" (lines {', '.join(map(str, finding.lines))})")
        for part, style in ((finding.why, "dim"), (finding.fix, "cyan")):
            if part:
                said.append(f"\n{part}", style=style)
        table.add_row(Text(*LEVELS[finding.level]), finding.code, said)
    return table


def _figures(verdict: DataVerdict) -> Table:
    profile = verdict.profile
    table = grid()
    projected = " (projected from a sample)" if verdict.is_projected else ""
    lines: dict[str, str | None] = {
        "examples": f"{profile.num_examples:,} usable, {profile.num_broken:,} broken, "
        f"{profile.num_duplicates:,} duplicates",
        "tokens": f"{profile.total_tokens:,} in all, {profile.completion_tokens:,} in answers"
        + ("" if profile.lengths.exact_tokens else " (estimated from the text)"),
        "trained on": _percent(verdict.supervised_share),
        "cut": _counted(verdict.truncated_examples, f"examples at {words.count(verdict.max_seq_len)} tokens"),
        "nothing to learn": _counted(verdict.fully_masked, "examples whose answers are all cut off"),
        "end of turn": _percent(verdict.end_of_turn_share, "of the labels hold a token that stops generation"),
        "end token": verdict.end_token,
        "distinct pad token": None if verdict.has_distinct_pad is None else words.plain(verdict.has_distinct_pad),
        "chat template": None if verdict.has_chat_template is None else words.plain(verdict.has_chat_template),
        "evaluation set": _counted(verdict.eval_examples, "examples"),
        "also trained on": _counted(verdict.eval_overlap, "evaluation examples"),
        "kind": f"{profile.kind_guess}: {profile.kind_reason}" if profile.kind_guess else None,
    }
    for name, line in lines.items():
        if line is not None:
            mark = projected if name in ("cut", "nothing to learn", "trained on") else ""
            table.add_row(name, line + mark)
    return table


def _percent(share: float | None, of: str = "of the tokens") -> str | None:
    return None if share is None else f"{100 * share:.0f} % {of}"


def _counted(number: int | None, what: str) -> str | None:
    return None if number is None else f"{number:,} {what}"


def _lengths(verdict: DataVerdict) -> RenderableType:
    lengths = verdict.profile.lengths
    largest = max(verdict.length_histogram.values())
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    for upper, number in verdict.length_histogram.items():
        cut = verdict.max_seq_len is not None and upper > verdict.max_seq_len
        bar = "█" * round(number / largest * 40) or ("▏" if number else "")
        table.add_row(f"<= {upper:,}", Text(bar, style="yellow" if cut else "green"), f"{number:,}")
    summary = (
        f"half below {lengths.p50:,}, 90 % below {lengths.p90:,}, 95 % below {lengths.p95:,}, "
        f"99 % below {lengths.p99:,}, the longest {lengths.longest:,}"
    )
    return Group(table, Text(summary, style="dim"))


def _example(verdict: DataVerdict) -> list[RenderableType]:
    if not verdict.first_example:
        return []
    text = Text()
    for piece in verdict.first_example:
        if piece.trained:
            text.append("[", style="dim").append(piece.text, style="green").append("]", style="dim")
        else:
            text.append(piece.text, style="dim")
    if len(text) > SHOWN_EXAMPLE:
        text.truncate(SHOWN_EXAMPLE)
        text.append(" ...")
    return [text]
