"""The verdict on a dataset for the terminal: findings first, then figures, lengths as a picture, one example."""

from __future__ import annotations

import json

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.data.convert import Converted
from advisor.data.verdict import DataVerdict, ShownRow
from advisor.report import words
from advisor.report.layout import grid, rows, section
from trainers import amounts

LEVELS = {"block": ("blocks", "bold red"), "warn": ("warning", "yellow"), "note": ("note", "dim")}
SHOWN_EXAMPLE = 1500
"""Characters of an example that are shown."""


def data_verdict(verdict: DataVerdict) -> RenderableType:
    """Everything that was found."""
    parts: list[RenderableType] = [
        _title(verdict),
        Text(f"{verdict.profile.source}: {words.dataset_line(verdict.profile)}"),
    ]
    parts += section("Findings", [_findings(verdict)] if verdict.findings else [])
    parts += section("Figures", [_figures(verdict)])
    parts += section("How it was read", [Text(f"- {note}") for note in verdict.profile.notes])
    parts += section("What becomes of the rows", [_ledger(verdict)] if verdict.ledger else [])
    parts += section("Lengths in tokens", [_lengths(verdict)] if verdict.length_histogram else [])
    for row in verdict.shown_rows:
        parts += section(f"Line {row.line} ({row.kind}), as the model sees it; what trains is marked", [_shown(row)])
    return Group(*parts)


def _title(verdict: DataVerdict) -> Text:
    if blocking := len(verdict.blocking):
        return Text(f"{blocking} finding{'s' if blocking > 1 else ''} would stop a run", style="bold red")
    accepted = sorted({one.code for one in verdict.findings if one.accepted})
    if accepted:
        return Text(f"Can be trained on; accepted with --allow: {', '.join(accepted)}", style="bold yellow")
    warnings = sum(one.level == "warn" for one in verdict.findings)
    if warnings:
        return Text(f"Can be trained on, with {warnings} warning{'s' if warnings > 1 else ''}", style="bold yellow")
    return Text("Ready to train on", style="bold green")


def _findings(verdict: DataVerdict) -> Table:
    table = rows("", "cyan", "fold")
    order = list(LEVELS)
    for finding in sorted(verdict.findings, key=lambda finding: order.index(finding.level)):
        said = Text(finding.what)
        if finding.lines:
            said.append(f" (lines {', '.join(map(str, finding.lines))})")
        accept = f"--allow {finding.code} accepts it." if finding.level == "block" else ""
        for part, style in ((finding.why, "dim"), (finding.fix, "cyan"), (accept, "dim")):
            if part:
                said.append(f"\n{part}", style=style)
        level = ("accepted", "yellow") if finding.accepted else LEVELS[finding.level]
        table.add_row(Text(*level), finding.code, said)
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
        "proof": _proof(verdict),
        "calls": _parsers(verdict),
        "cut": _counted(verdict.truncated_examples, f"examples at {amounts.count(verdict.max_seq_len)} tokens"),
        "nothing to learn": _counted(verdict.fully_masked, "examples whose answers are all cut off"),
        "end of turn": _percent(verdict.end_of_turn_share, "of the labels hold a token that stops generation"),
        "end token": verdict.end_token,
        "distinct pad token": None if verdict.has_distinct_pad is None else words.plain(verdict.has_distinct_pad),
        "chat template": _template(verdict),
        "evaluation set": _counted(verdict.eval_examples, "examples"),
        "also trained on": _counted(verdict.eval_overlap, "evaluation examples"),
        "kind": f"{profile.kind_guess}: {profile.kind_reason}" if profile.kind_guess else None,
    }
    for name, line in lines.items():
        if line is not None:
            mark = projected if name in ("cut", "nothing to learn", "trained on") else ""
            table.add_row(name, line + mark)
    return table


_FATES = ("learnt", "shown", "excluded", "unused")
_UNITS = {"column": "rows", "turn": "turns", "key": "turns", "part": "turns"}


def _ledger(verdict: DataVerdict) -> Table:
    """Each column, turn and key with what became of it, and how often."""
    table = grid()
    for entry in verdict.ledger:
        met = [(fate, getattr(entry, fate)) for fate in _FATES if getattr(entry, fate)]
        said = ", ".join(f"{fate} in {number:,} {_UNITS[entry.what]}" for fate, number in met)
        table.add_row(f"{entry.what} {entry.name}", Text(said, style="yellow" if entry.unused else ""))
    return table


def conversion(made: Converted) -> RenderableType:
    """What `data convert` wrote, what it changed, and a few rows before and after."""
    left_out = [
        f"{made.broken:,} broken" if made.broken else "",
        f"{made.excluded:,} excluded" if made.excluded else "",
        f"{made.dropped:,} dropped" if made.dropped else "",
    ]
    beside = f"; left out: {', '.join(filter(None, left_out))}" if any(left_out) else ""
    parts: list[RenderableType] = [
        Text(f"{made.output}: {made.written:,} examples as messages{beside}", style="bold")
    ]
    parts += section("Changed", [Text(f"- {change}") for change in made.changes])
    parts += section("Broken rows", [Text(f"- {problem}") for problem in made.problems])
    for row in made.shown:
        after = _json("after", row.after) if row.after else Text("after   left out", style="dim")
        parts += section(f"Line {row.line}", [_json("before", row.before), after])
    return Group(*parts)


def _json(name: str, value: dict[str, object]) -> Text:
    written = json.dumps(value, ensure_ascii=False, default=str)
    cut = written if len(written) <= SHOWN_EXAMPLE else written[:SHOWN_EXAMPLE] + " ..."
    return Text(f"{name:<7} ", style="dim").append(cut, style="")


def _template(verdict: DataVerdict) -> str | None:
    if verdict.has_chat_template is None:
        return None
    shown = f", {verdict.template_card.summary()}" if verdict.template_card else ""
    return words.plain(verdict.has_chat_template) + shown


def _proof(verdict: DataVerdict) -> str | None:
    return verdict.proof.line if verdict.proof else None


def _parsers(verdict: DataVerdict) -> str | None:
    """Which parser of a serving engine finds the calls that are trained."""
    if verdict.proof is None or not verdict.proof.parsers:
        return None
    found = [
        f"{number:,} found by the parser {name}" if name != "none" else f"{number:,} found by no parser"
        for name, number in verdict.proof.parsers.items()
    ]
    return f"{', '.join(found)} (vLLM's names)"


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


def _shown(row: ShownRow) -> Text:
    text = Text()
    for piece in row.pieces:
        if piece.trained:
            text.append("[", style="dim").append(piece.text, style="green").append("]", style="dim")
        else:
            text.append(piece.text, style="dim")
    if len(text) > SHOWN_EXAMPLE:
        text.truncate(SHOWN_EXAMPLE)
        text.append(" ...")
    return text
