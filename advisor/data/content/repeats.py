"""Answers that repeat, and questions with several answers: told from 64-bit hashes of all rows, 28 bytes a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from advisor.base.language import tr
from advisor.data.content.examiner import SHOWN_LINES, counted, excerpt, percent
from advisor.data.marked import ANSWER, MORE, TURN
from advisor.data.verdict import Finding, Level

if TYPE_CHECKING:
    import polars

FEW_QUESTIONS = 5
"""An answer to fewer different questions is no habit."""
LABEL_CHARACTERS = 20
"""A shorter answer is a label, which repeats by its nature."""
REPEATED_NOTED, REPEATED_WARNS, REPEATED_BLOCKS = 0.005, 0.05, 0.50
LABEL_WARNS, LABEL_BLOCKS = 0.90, 0.99
CONTRADICTIONS_WARN = 0.05
_TEXTS_KEPT = 256
_FREQUENT = 3


class Repeats:
    """Collects what is asked and answered, batch by batch."""

    def __init__(self) -> None:
        self._batches: list[polars.DataFrame] = []
        self._texts: dict[int, str] = {}

    def look(self, lines: Sequence[int], texts: polars.Series) -> None:
        """One batch of marked texts, as polars holds them, with their lines."""
        import polars

        exchanges = _last_exchanges(
            polars.DataFrame({"line": polars.Series(lines, dtype=polars.UInt64), "text": texts})
        )
        batch = exchanges.select(
            "line",
            "said",
            asked=polars.col("asked").str.to_lowercase().hash(),
            answer=polars.col("said").str.to_lowercase().hash(),
            characters=polars.col("said").str.len_chars(),
        )
        if len(batch):
            self._batches.append(batch.drop("said"))
            self._keep_texts(batch)

    def _keep_texts(self, batch: polars.DataFrame) -> None:
        """The words of the answers that are frequent in this batch: those of any that is frequent in all are here."""
        import polars

        repeated = batch.filter(polars.col("answer").is_duplicated())
        frequent = repeated.group_by("answer", maintain_order=True).agg(polars.len(), polars.col("said").first())
        for answer, _, text in frequent.sort("len", descending=True, maintain_order=True).head(_FREQUENT).rows():
            if len(self._texts) < _TEXTS_KEPT:
                self._texts.setdefault(answer, text)

    def findings(self, rows: int) -> Iterator[Finding]:
        """Judged against `rows` usable rows."""
        import polars

        if not self._batches:
            return
        table = polars.concat(self._batches)
        yield from self._repeated(table, rows)
        yield from _contradictions(table, rows)

    def _repeated(self, table: polars.DataFrame, rows: int) -> Iterator[Finding]:
        import polars

        groups = (
            table.filter(polars.col("answer").is_duplicated() & (polars.col("characters") > 0))
            .group_by("answer")
            .agg(
                polars.len(),
                polars.col("asked").n_unique().alias("questions"),
                polars.col("characters").first(),
                polars.col("line").sort().head(SHOWN_LINES),
            )
            .filter(polars.col("questions") >= FEW_QUESTIONS)
            .sort("len", polars.col("line").list.first(), descending=[True, False])
        )
        if groups.is_empty():
            return
        top = groups.row(0, named=True)
        share, is_label = top["len"] / rows, top["characters"] <= LABEL_CHARACTERS
        text = self._texts.get(top["answer"])
        shown = tr(": {excerpt}", excerpt=excerpt(text.replace(MORE, ""))) if text else ""
        if is_label and share > LABEL_WARNS:
            yield Finding(
                code="one-answer",
                level="block" if share >= LABEL_BLOCKS else "warn",
                what=tr("{share} of the rows have the same answer{shown}", share=percent(share), shown=shown),
                why=tr(
                    "A model that always gives this answer fits them: nothing has to be learnt from the questions."
                ),
                fix=tr("Add examples of the other answers."),
                lines=tuple(top["line"]),
            )
        phrases = groups.filter(polars.col("characters") > LABEL_CHARACTERS)
        repeated = int(phrases["len"].sum())
        if repeated <= REPEATED_NOTED * rows:
            return
        most = phrases.row(0, named=True)
        level: Level = "warn" if repeated > REPEATED_WARNS * rows else "note"
        text = self._texts.get(most["answer"])
        sentence = (
            tr(
                "{rows} {answers:,} answers that stand under at least {questions} different questions, "
                "one of them {most:,} times"
            )
            if len(phrases) > 1
            else tr(
                "{rows} {answers:,} answer that stands under at least {questions} different questions, "
                "one of them {most:,} times"
            )
        )
        said = sentence.format(
            rows=counted(repeated, rows, tr("give")), answers=len(phrases), questions=FEW_QUESTIONS, most=most["len"]
        )
        yield Finding(
            code="repeated-answers",
            level="block" if most["len"] > REPEATED_BLOCKS * rows else level,
            what=said + (tr(": {excerpt}", excerpt=excerpt(text.replace(MORE, ""))) if text else ""),
            why=tr("The model learns to give it whatever is asked."),
            fix=tr("Keep a few of each."),
            lines=tuple(most["line"]),
        )


def _contradictions(table: polars.DataFrame, rows: int) -> Iterator[Finding]:
    import polars

    groups = (
        table.filter(polars.col("asked").is_duplicated())
        .group_by("asked")
        .agg(polars.len(), polars.col("answer").n_unique().alias("answers"), polars.col("line").sort().head(2))
        .filter(polars.col("answers") > 1)
        .sort(polars.col("line").list.first())
    )
    if groups.is_empty():
        return
    held = int(groups["len"].sum())
    sentence = (
        tr("{rows} {questions:,} questions that other rows answer in other words")
        if len(groups) > 1
        else tr("{rows} {questions:,} question that other rows answer in other words")
    )
    yield Finding(
        code="contradictions",
        level="warn" if held > CONTRADICTIONS_WARN * rows else "note",
        what=sentence.format(rows=counted(held, rows, tr("ask")), questions=len(groups)),
        why=tr(
            "Where one answer is right, the others teach the model to be unsure; for free writing it is no fault."
        ),
        fix=tr("Keep one answer for each question that has one."),
        lines=tuple(line for pair in groups["line"].head(SHOWN_LINES).to_list() for line in pair),
    )


def _last_exchanges(texts: polars.DataFrame) -> polars.DataFrame:
    """Of the rows with an answer: `asked`, all before the last one, and `said`, that one with its calls."""
    import polars

    text, last = polars.col("text"), polars.col("last")
    return (
        texts.filter(text.str.contains(ANSWER, literal=True))
        .with_columns(last=text.str.split(ANSWER).list.last())
        .select(
            "line",
            asked=text.str.strip_suffix(polars.lit(ANSWER) + last).str.strip_chars(),
            said=last.str.split(TURN).list.first().str.strip_chars(),
        )
    )
