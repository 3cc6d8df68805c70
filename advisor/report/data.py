"""The verdict on a dataset for the terminal: findings first, then figures, lengths as a picture, one example."""

from __future__ import annotations

import json

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import later, tr
from advisor.data.convert import Converted
from advisor.data.verdict import DataVerdict, ShownRow
from advisor.report import words
from advisor.report.layout import grid, rows, section
from trainers import amounts

LEVELS = {
    "block": (later("blocks"), "bold red"),
    "warn": (later("warning"), "yellow"),
    "note": (later("note"), "dim"),
}
SHOWN_EXAMPLE = 1500
"""Characters of an example that are shown."""


def data_verdict(verdict: DataVerdict) -> RenderableType:
    """Everything that was found."""
    parts: list[RenderableType] = [
        title(verdict),
        Text(f"{verdict.profile.source}: {words.dataset_line(verdict.profile)}"),
    ]
    parts += section(tr("Findings"), [_findings(verdict)] if verdict.findings else [])
    parts += section(tr("Figures"), [_figures(verdict)])
    parts += section(tr("How it was read"), [Text(f"- {note}") for note in verdict.profile.notes])
    parts += section(tr("What becomes of the rows"), [_ledger(verdict)] if verdict.ledger else [])
    parts += section(tr("Lengths in tokens"), [_lengths(verdict)] if verdict.length_histogram else [])
    for row in verdict.shown_rows:
        parts += section(
            tr("Line {line} ({kind}), as the model sees it; what trains is marked", line=row.line, kind=tr(row.kind)),
            [_shown(row)],
        )
    return Group(*parts)


def title(verdict: DataVerdict) -> Text:
    """The verdict in one line."""
    if blocking := len(verdict.blocking):
        stops = tr("{count} findings would stop a run") if blocking > 1 else tr("{count} finding would stop a run")
        return Text(stops.format(count=blocking), style="bold red")
    accepted = sorted({one.code for one in verdict.findings if one.accepted})
    if accepted:
        return Text(
            tr("Can be trained on; accepted with --allow: {accepted}", accepted=", ".join(accepted)),
            style="bold yellow",
        )
    warnings = sum(one.level == "warn" for one in verdict.findings)
    if warnings:
        many = (
            tr("Can be trained on, with {count} warnings")
            if warnings > 1
            else tr("Can be trained on, with {count} warning")
        )
        return Text(many.format(count=warnings), style="bold yellow")
    return Text(tr("Ready to train on"), style="bold green")


def _findings(verdict: DataVerdict) -> Table:
    table = rows("", "cyan", "fold")
    order = list(LEVELS)
    for finding in sorted(verdict.findings, key=lambda finding: order.index(finding.level)):
        said = Text(finding.what)
        if finding.lines:
            said.append(tr(" (lines {lines})", lines=", ".join(map(str, finding.lines))))
        accept = tr("--allow {code} accepts it.", code=finding.code) if finding.level == "block" else ""
        for part, style in ((finding.why, "dim"), (finding.fix, "cyan"), (accept, "dim")):
            if part:
                said.append(f"\n{part}", style=style)
        level = (later("accepted"), "yellow") if finding.accepted else LEVELS[finding.level]
        table.add_row(Text(tr(level[0]), style=level[1]), finding.code, said)
    return table


def _figures(verdict: DataVerdict) -> Table:
    profile = verdict.profile
    table = grid()
    projected = tr(" (projected from a sample)") if verdict.is_projected else ""
    lines: dict[str, str | None] = {
        tr("examples"): tr(
            "{num_examples:,} usable, {num_broken:,} broken, {num_duplicates:,} duplicates",
            num_examples=profile.num_examples,
            num_broken=profile.num_broken,
            num_duplicates=profile.num_duplicates,
        ),
        tr("tokens"): tr(
            "{total_tokens:,} in all, {completion_tokens:,} in answers",
            total_tokens=profile.total_tokens,
            completion_tokens=profile.completion_tokens,
        )
        + ("" if profile.lengths.exact_tokens else tr(" (estimated from the text)")),
        tr("trained on"): _percent(verdict.supervised_share, tr("{share} of the tokens")),
        tr("proof"): _proof(verdict),
        tr("calls"): _parsers(verdict),
        tr("cut"): _counted(
            verdict.truncated_examples,
            tr("{number:,} examples at {limit} tokens"),
            limit=amounts.count(verdict.max_seq_len),
        ),
        tr("nothing to learn"): _counted(
            verdict.fully_masked, tr("{number:,} examples whose answers are all cut off")
        ),
        tr("end of turn"): _percent(
            verdict.end_of_turn_share, tr("{share} of the labels hold a token that stops generation")
        ),
        tr("end token"): verdict.end_token,
        tr("distinct pad token"): None if verdict.has_distinct_pad is None else words.plain(verdict.has_distinct_pad),
        tr("chat template"): _template(verdict),
        tr("evaluation set"): _counted(verdict.eval_examples, tr("{number:,} examples")),
        tr("also trained on"): _counted(verdict.eval_overlap, tr("{number:,} evaluation examples")),
        tr("kind"): f"{profile.kind_guess}: {profile.kind_reason}" if profile.kind_guess else None,
    }
    for name, line in lines.items():
        if line is not None:
            mark = projected if name in (tr("cut"), tr("nothing to learn"), tr("trained on")) else ""
            table.add_row(name, line + mark)
    return table


_THINGS = {
    "column": later("column"),
    "turn": later("turn"),
    "key": later("key"),
    "part": later("part"),
}
_FATES = {
    "learnt": (later("learnt in {count:,} rows"), later("learnt in {count:,} turns")),
    "shown": (later("shown in {count:,} rows"), later("shown in {count:,} turns")),
    "excluded": (later("excluded in {count:,} rows"), later("excluded in {count:,} turns")),
    "unused": (later("unused in {count:,} rows"), later("unused in {count:,} turns")),
}


def _ledger(verdict: DataVerdict) -> Table:
    """Each column, turn and key with what became of it, and how often."""
    table = grid()
    for entry in verdict.ledger:
        met = [(fate, getattr(entry, fate)) for fate in _FATES if getattr(entry, fate)]
        said = ", ".join(tr(_FATES[fate][entry.what != "column"], count=number) for fate, number in met)
        table.add_row(f"{tr(_THINGS[entry.what])} {entry.name}", Text(said, style="yellow" if entry.unused else ""))
    return table


def conversion(made: Converted) -> RenderableType:
    """What `data convert` wrote, what it changed, and a few rows before and after."""
    left_out = [
        tr("{broken:,} broken", broken=made.broken) if made.broken else "",
        tr("{excluded:,} excluded", excluded=made.excluded) if made.excluded else "",
        tr("{dropped:,} dropped", dropped=made.dropped) if made.dropped else "",
    ]
    beside = tr("; left out: {listed}", listed=", ".join(filter(None, left_out))) if any(left_out) else ""
    parts: list[RenderableType] = [
        Text(
            tr(
                "{output}: {written:,} examples as messages{beside}",
                output=made.output,
                written=made.written,
                beside=beside,
            ),
            style="bold",
        )
    ]
    parts += section(tr("Changed"), [Text(f"- {change}") for change in made.changes])
    parts += section(tr("Broken rows"), [Text(f"- {problem}") for problem in made.problems])
    for row in made.shown:
        after = _json(tr("after"), row.after) if row.after else Text(tr("after   left out"), style="dim")
        parts += section(tr("Line {line}", line=row.line), [_json(tr("before"), row.before), after])
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
        tr("{number:,} found by the parser {name}", number=number, name=name)
        if name != "none"
        else tr("{number:,} found by no parser", number=number)
        for name, number in verdict.proof.parsers.items()
    ]
    return tr("{found} (vLLM's names)", found=", ".join(found))


def _percent(share: float | None, sentence: str) -> str | None:
    return None if share is None else sentence.format(share=f"{100 * share:.0f} %")


def _counted(number: int | None, sentence: str, **values: object) -> str | None:
    return None if number is None else sentence.format(number=number, **values)


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
    summary = tr(
        "half below {p50:,}, 90 % below {p90:,}, 95 % below {p95:,}, 99 % below {p99:,}, the longest {longest:,}",
        p50=lengths.p50,
        p90=lengths.p90,
        p95=lengths.p95,
        p99=lengths.p99,
        longest=lengths.longest,
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
