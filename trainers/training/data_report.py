"""What became of the rows of a dataset on the way into a run: counts, the proof, and a few lines for the log."""

from __future__ import annotations

from typing import Any

import msgspec

from trainers.examples.tally import Proof
from trainers.plan import DatasetFormat


class DataReport(msgspec.Struct, kw_only=True):
    """What became of the rows. Examples are counted after broken rows were left out; tokens are the model's own."""

    format: DatasetFormat
    rows: int = 0
    broken: int = 0
    broken_rows: list[str] = []
    """The first few, as `row 17: what is wrong`."""
    excluded: int = 0
    """Rows that the data itself takes out, such as answers judged bad."""
    train_examples: int = 0
    train_sequences: int = 0
    """What is trained on: the examples, but longer texts as several stretches each."""
    eval_examples: int = 0
    train_tokens: int = 0
    supervised_tokens: int = 0
    """Training tokens that the loss looks at."""
    longest: int = 0
    """Tokens of the longest training example after truncation."""
    truncated_examples: int = 0
    truncated_tokens: int = 0
    masked_examples: int = 0
    """Dropped, because nothing of an answer was left within max_seq_len."""
    shown_examples: int = 0
    """Left out, because the data, the loss or the template lets none of their answers be learnt."""
    without_end: int = 0
    """Kept examples whose labels hold no token that stops generation (an answer that was cut)."""
    split_texts: int = 0
    """Texts longer than max_seq_len, which are trained on as several stretches of at most that length."""
    proof: Proof = msgspec.field(default_factory=Proof)
    """That what is learnt is what is meant, over all rows of the training set, also those kept back."""
    eval_broken: int = 0
    """Rows of a named evaluation set that cannot be used."""
    eval_proof: Proof | None = None
    """The proof over a named evaluation set."""
    notes: list[str] = []


def verdict(report: DataReport, said: list[str]) -> str:
    """What was found, in a few lines for the log."""
    pieces = f" as {report.train_sequences:,} sequences" if report.split_texts else ""
    lines = [
        f"data: {report.train_examples:,} examples to train on{pieces} ({report.format}), "
        f"{report.eval_examples:,} kept back; {report.train_tokens:,} tokens, "
        f"{share(report.supervised_tokens, report.train_tokens)} of them learnt; longest {report.longest:,}"
    ]
    if report.broken:
        lines.append(f"  {report.broken:,} rows left out as broken, such as {'; '.join(report.broken_rows[:2])}")
    if report.proof.rows:
        lines.append(f"  proof: {report.proof.line}")
    if report.eval_proof:
        lines.append(f"  proof of the evaluation set: {report.eval_proof.line}")
    if report.eval_broken:
        lines.append(f"  {report.eval_broken:,} rows of the evaluation set left out as broken")
    if report.split_texts:
        lines.append(f"  {report.split_texts:,} texts longer than the sequence, split into several sequences each")
    if report.excluded:
        lines.append(f"  {report.excluded:,} rows left out, as the data itself says")
    if report.truncated_examples:
        lines.append(f"  {report.truncated_examples:,} examples cut, {report.truncated_tokens:,} tokens lost")
    if report.masked_examples:
        lines.append(f"  {report.masked_examples:,} examples left out: nothing of an answer within the length")
    return "\n".join([*lines, *(f"  {note}" for note in said)])


def share(part: int, whole: int) -> str:
    """A part as per cent."""
    return f"{100 * part / whole:.0f} %" if whole else "none"


def as_record(report: DataReport, said: list[str]) -> dict[str, Any]:
    """The report for run.json."""
    return {**msgspec.to_builtins(report), "notes": [*report.notes, *said]}
