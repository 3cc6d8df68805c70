"""One pass over a dataset: counts, broken rows, sizes, a random sample and the longest rows, in constant memory."""

from __future__ import annotations

import gc
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.data.lengths import LengthStatistics, Measured, estimate_example, measure
from advisor.data.marked import marked
from advisor.data.profile import RowProblem
from advisor.data.rendering import Renderer
from advisor.data.sampling import TOO_LONG_CHARACTERS, Longest, Reservoir, Sampled
from advisor.data.unseen import Unseen
from trainers.errors import ExamplesError
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.ledger import Ledger
from trainers.examples.proposals import proposal
from trainers.examples.reader import LOOKED_AT, Reader, reader_for
from trainers.examples.rewrites import with_roles
from trainers.examples.rows import Note, Row
from trainers.examples.source import Source
from trainers.examples.tally import Proof
from trainers.examples.turn_columns import TURN_COLUMNS
from trainers.plan import LossOn

SAMPLE_CHARACTERS = 4_000_000
PROBLEMS_KEPT = 100
OF_ONE_KIND = 5
_OBJECTS_BETWEEN = 200_000


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows are to be read: what a plan or the user states about them."""

    format: str | None = None
    columns: dict[str, str] = {}
    loss_on: LossOn = "assistant"


AS_IT_IS = Reading()


class Scan(msgspec.Struct, kw_only=True):
    """What one pass found."""

    reader: Reader
    columns: tuple[str, ...]
    ledger: Ledger
    unseen: Unseen = msgspec.field(default_factory=Unseen)
    rows: int = 0
    broken: int = 0
    notes: list[Note] = []
    """What should be said about how the files were read."""
    excluded: Counter[str] = msgspec.field(default_factory=Counter)
    """Why the data itself takes rows out of training (an answer judged bad) -> how many."""
    broken_rows: list[RowProblem] = []
    multi_turn: int = 0
    picture_rows: int = 0
    """Rows that bring pictures."""
    digests: array[int] = msgspec.field(default_factory=lambda: array("q"))
    """One 64-bit digest for each usable row, in order."""
    lines: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    statistics: LengthStatistics = msgspec.field(default_factory=LengthStatistics)
    sample: list[Sampled] = []
    """A uniform random sample of the usable rows (all of them when they are few)."""
    longest: list[Sampled] = []

    @property
    def usable(self) -> int:
        """Rows that can be trained on."""
        return self.rows - self.broken - self.excluded.total()


def scan(
    source: Source,
    sample_rows: int,
    characters: int = SAMPLE_CHARACTERS,
    visit: Callable[[int, Example, str], None] | None = None,
    reading: Reading = AS_IT_IS,
) -> Scan:
    """Reads every row once, and shows each usable one to `visit`, with its line and its marked text.

    `sample_rows` and `characters` bound the sample that is kept (and the longest rows, by half as many characters).
    Raises ExamplesError when no row is usable, or only one: nothing could be learnt from it or held back.
    """
    rows = source.rows()
    first = list(islice(rows, LOOKED_AT))
    reader = (
        source.mixture.reader
        if source.mixture
        else reader_for(first, source.name, reading.format, reading.columns, source.split or None)
    )
    columns = next(tuple(str(name) for name in row.value) for row in first if row.value is not None)
    found = Scan(reader=reader, columns=columns, ledger=Ledger(reader, reading.loss_on))
    sample, longest = Reservoir(sample_rows, characters), Longest(characters // 2)
    with _rare_collection():
        _read(chain(first, rows), found, sample, longest, visit)
    found.sample, found.longest = sample.kept, longest.rows()
    _check(found, source, next((row.value for row in first if row.value is not None), {}))
    return found


def _read(
    rows: Iterable[Row],
    found: Scan,
    sample: Reservoir,
    longest: Longest,
    visit: Callable[[int, Example, str], None] | None,
) -> None:
    for row in rows:
        example = _usable(row, found)
        if example is None:
            continue
        tokens, answers = estimate_example(example)
        found.statistics.add(tokens, answers)
        found.picture_rows += bool(example.images)
        if len(example.messages) > 2:
            found.multi_turn += example.num_answers > 1
        text = marked(example)
        if not row.is_copy:
            found.digests.append(digest(text))
            found.lines.append(row.line)
        if visit and not row.is_copy:
            visit(row.line, example, text)
        sample.add(row.line, example)
        longest.add(tokens, row.line, example)


@contextmanager
def _rare_collection() -> Iterator[None]:
    """Python looks for cycles after each 700 new objects; rows make none, and a fifth of the time went there."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Counted(msgspec.Struct, kw_only=True):
    """What tokenising the sample found."""

    measured: list[Measured] = []
    """Counts of the rows that are proven, cut at the length limit."""
    refused: list[RowProblem] = []
    """Rows that the template refuses or that cannot be proven."""
    sequences: int = 0
    """What a run makes of the proven rows: a text longer than the limit becomes several."""
    proof: Proof = msgspec.field(default_factory=Proof)
    cut_pictures: list[int] = []
    """Lines of rows in which the limit cuts a picture."""


def count_tokens(found: Scan, renderer: Renderer, limit: int | None = None) -> Counted:
    """Tokenises the sample, cut at `limit` tokens, and the longest rows into the scan's statistics."""
    counted = Counted(proof=Proof(loss_on=renderer.loss_on))
    statistics = found.statistics
    sample = [one for one in found.sample if one.example.size < TOO_LONG_CHARACTERS]
    results = measure(renderer, (one.example for one in sample), limit)
    for kept, result in zip(sample, results, strict=True):
        if isinstance(result, RowError):
            counted.refused.append(RowProblem(line=kept.line, what=str(result)))
            counted.proof.refuse(result, kept.line)
            continue
        measured, rendered = result
        counted.measured.append(measured)
        if limit and measured.picture_end > limit:
            counted.cut_pictures.append(kept.line)
        counted.sequences += -(-measured.tokens // limit) if limit and rendered.is_plain else 1
        counted.proof.add(kept.example, rendered)
        statistics.count(estimate_example(kept.example), measured)
    if found.usable > len(found.sample):
        longest = [one.example for one in found.longest if one.example.size < TOO_LONG_CHARACTERS]
        statistics.longest_is_counted = len(longest) == len(found.longest)
        for result in measure(renderer, longest):
            if not isinstance(result, RowError):
                statistics.count_long(result[0])
    counted.proof.summed_up()
    return counted


def digest(marked_text: str) -> int:
    """64 bits of everything that trains in an example: equal for duplicates, whatever else their rows hold.

    They are of this process alone; another one has others for the same text.
    """
    return hash(marked_text)


def duplicates(digests: array[int], lines: array[int], shown: int = 5) -> tuple[int, list[tuple[int, int]]]:
    """How many rows repeat an earlier one, and a few of them as (line, line of the first)."""
    parts = max(1, len(digests) // 200_000)
    count = 0
    pairs: list[tuple[int, int]] = []
    # Part by part, so that the set of digests seen stays small whatever the number of rows.
    for part in range(parts):
        seen: dict[int, int] = {}
        for index, value in enumerate(digests):
            if parts > 1 and value % parts != part:
                continue
            if value in seen:
                count += 1
                if len(pairs) < shown:
                    pairs.append((lines[index], lines[seen[value]]))
            else:
                seen[value] = index
    return count, sorted(pairs)


def _usable(row: Row, found: Scan) -> Example | None:
    found.rows += 1
    if row.note and row.note not in found.notes:
        found.notes.append(row.note)
    try:
        example = found.reader.example(row)
        found.ledger.add(row, example)
        found.unseen.add(row, example)
        return example
    except RowExcludedError as error:
        found.excluded[str(error)] += 1
        return None
    except RowError as error:
        found.broken += 1
        _keep(found, RowProblem(line=row.line, what=str(error)))
        return None


def _keep(found: Scan, problem: RowProblem) -> None:
    """A few rows of each kind of problem, so that a common one does not hide the rare ones."""
    kind = problem.kind
    if len(found.broken_rows) < PROBLEMS_KEPT and sum(one.kind == kind for one in found.broken_rows) < OF_ONE_KIND:
        found.broken_rows.append(problem)


def _check(found: Scan, source: Source, first: dict[str, Any]) -> None:
    shown = "; ".join(f"line {one.line}: {one.what}" for one in found.broken_rows[:3])
    if found.usable == 0:
        raise _unusable(found, source, shown, first)
    if found.usable == 1:
        why = tr("nothing can be held back to see whether training helped") + (
            tr("; broken: {shown}", shown=shown) if shown else ""
        )
        fix = tr("give at least two examples; a useful fine-tuning begins at about fifty")
        raise ExamplesError(tr("{name} holds one usable example", name=source.name), why=why, fix=fix)


def _unusable(found: Scan, source: Source, shown: str, first: dict[str, Any]) -> ExamplesError:
    what = tr("no example of {name} can be used ({broken} rows are broken)", name=source.name, broken=found.broken)
    if not found.broken and found.excluded:
        reasons = "; ".join(f"{count:,} rows: {reason}" for reason, count in found.excluded.most_common(3))
        fix = tr("name the split that is meant (--split test), or another file")
        return ExamplesError(tr("every row of {name} is left out", name=source.name), why=reasons, fix=fix)
    fix = tr("repair the rows named, or leave out what is not text")
    is_chat = found.reader.layout.learnt[0] is TURN_COLUMNS and not found.reader.mapping
    if is_chat and "completion=" in (named := proposal(first)):  # the answers stand beside the questions
        fix = tr(
            "say which column is what: {named} (a guess from names and contents; look at the rows shown then)",
            named=named,
        )
    if is_chat and (command := with_roles(first, source.name)):
        fix = tr("write each conversation as turns that say under role who speaks: {command}", command=command)
    return ExamplesError(what, why=shown, fix=fix)
