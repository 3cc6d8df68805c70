"""A verdict on a dataset for the browser: findings, figures, what becomes of each column, lengths, marked rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from advisor.base.language import tr
from advisor.data.verdict import DataVerdict, Finding, Piece, ShownRow
from advisor.report import words
from advisor.report.data import title
from trainers.examples.ledger import Entry

LEVELS = ("block", "warn", "note")
FATES = ("learnt", "shown", "excluded", "unused")
SHOWN_CHARACTERS = 4000
"""Of one row; the rest is cut."""


class Length(NamedTuple):
    """One bar of the lengths: up to how many tokens, how many examples, and the share of the longest bar."""

    upper: int
    examples: int
    width: float
    is_cut: bool


def context(verdict: DataVerdict) -> dict[str, Any]:
    """The variables of the template."""
    return {
        "verdict": verdict,
        "headline": title(verdict).plain,
        "tone": {"ready": "recommended", "caution": "do_not_fine_tune", "blocked": "nothing_fits"}[verdict.verdict],
        "read_as": words.dataset_line(verdict.profile),
        "findings": sorted(verdict.findings, key=lambda finding: LEVELS.index(finding.level)),
        "level": _level,
        "proof": verdict.proof.line if verdict.proof else "",
        "ledger": [(entry, _fates(entry)) for entry in verdict.ledger],
        "lengths": _lengths(verdict),
        "rows": [_cut(row) for row in verdict.shown_rows],
    }


def _level(finding: Finding) -> str:
    if finding.accepted:
        return tr("accepted")
    return {"block": tr("blocks"), "warn": tr("warning"), "note": tr("note")}[finding.level]


def _fates(entry: Entry) -> list[tuple[str, int]]:
    """Fate and how often, of those that it met."""
    return [(fate, getattr(entry, fate)) for fate in FATES if getattr(entry, fate)]


def _lengths(verdict: DataVerdict) -> list[Length]:
    largest = max(verdict.length_histogram.values(), default=1)
    longest = verdict.max_seq_len
    return [
        Length(upper, number, round(number / largest * 1000, 1), longest is not None and upper > longest)
        for upper, number in verdict.length_histogram.items()
    ]


def _cut(row: ShownRow) -> tuple[ShownRow, list[Piece], bool]:
    """The row, as many of its pieces as are shown, and whether something was cut."""
    pieces: list[Piece] = []
    left = SHOWN_CHARACTERS
    for piece in row.pieces:
        if left <= 0:
            return row, pieces, True
        pieces.append(Piece(text=piece.text[:left], trained=piece.trained))
        left -= len(piece.text)
    return row, pieces, left < 0
