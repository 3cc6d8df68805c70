"""The rows of a named evaluation set: whether a run can use them, and which of them are trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from advisor.base.language import tr
from advisor.data.lengths import measure
from advisor.data.marked import marked
from advisor.data.rendering import Renderer
from advisor.data.scan import digest
from advisor.data.verdict import Finding
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.sets import Sets
from trainers.examples.source import reader_of
from trainers.examples.tally import Proof

SAMPLE_ROWS = 1000
"""Rows that are marked: the first, as the run's own evaluation takes them."""


class EvaluationRows(msgspec.Struct, kw_only=True):
    """What the rows of an evaluation set are."""

    held: Counter[int] = msgspec.field(default_factory=Counter)
    """Digest of an example -> how many rows hold it, of all rows that can be read."""
    looked_at: int = 0
    """Rows that were marked as the run would mark them."""
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """Why rows of these cannot be used -> how many."""
    refused_lines: list[int] = []
    proof: Proof
    """That what is learnt is what is meant, over the rows looked at."""

    def refuse(self, line: int, error: RowError) -> None:
        """Count a row of these that cannot be used."""
        self.refused[str(error)] += 1
        self.refused_lines.append(line)

    def overlap(self, trained: Iterable[int]) -> int:
        """Rows whose example is among those with these digests."""
        return sum(self.held[value] for value in set(trained) if value in self.held)

    def findings(self) -> Iterator[Finding]:
        """A finding where rows cannot be used; it blocks where none of those looked at can."""
        if not self.refused:
            return
        unusable, reason = self.refused.total(), self.refused.most_common(1)[0][0]
        yield Finding(
            code="eval-rows",
            level="block" if unusable == self.looked_at else "warn",
            what=tr(
                "{unusable:,} of the first {looked_at:,} evaluation rows cannot be used: {reason}",
                unusable=unusable,
                looked_at=self.looked_at,
                reason=reason,
            ),
            why=tr("The run leaves them out, and its evaluation would say less than it seems to, or nothing."),
            fix=tr("Bring them to the form of the training rows, or name another set with --eval-dataset."),
            lines=tuple(sorted(self.refused_lines)[:5]),
        )


def read_evaluation(sets: Sets, renderer: Renderer | None) -> EvaluationRows | None:
    """The evaluation rows, read as those of the training set are; None when no evaluation set is named.

    `renderer` None: the model's template is not at hand, and rows are only read.
    """
    if sets.eval is None:
        return None
    reader = reader_of(sets.eval, columns=sets.named.columns)
    found = EvaluationRows(proof=Proof(loss_on=renderer.loss_on if renderer else "assistant"))
    usable: list[tuple[int, Example]] = []
    for row in sets.eval.rows():
        is_looked_at = found.looked_at < SAMPLE_ROWS
        try:
            example = reader.example(row)
            found.held[digest(marked(example))] += 1
            usable += [(row.line, example)] if is_looked_at else []
        except RowExcludedError:
            continue
        except RowError as error:
            if is_looked_at:
                found.refuse(row.line, error)
        found.looked_at += is_looked_at
    if renderer is not None:
        _prove(found, usable, renderer)
    return found


def _prove(found: EvaluationRows, usable: list[tuple[int, Example]], renderer: Renderer) -> None:
    results = measure(renderer, (example for _, example in usable))
    for (line, example), result in zip(usable, results, strict=True):
        if isinstance(result, RowError):
            found.refuse(line, result)
            found.proof.refuse(result, line)
        else:
            found.proof.add(example, result[1])
    found.proof.summed_up()
