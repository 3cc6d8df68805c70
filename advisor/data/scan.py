"""One pass over a dataset: counts, broken rows, sizes, a random sample and the longest rows, in constant memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from hashlib import blake2b
from itertools import chain, islice

import msgspec

from advisor.data.formats import Example, RowError, detect_format, normalise
from advisor.data.lengths import LengthStatistics, Measured, estimate_example, measure
from advisor.data.profile import DatasetFormat, RowProblem
from advisor.data.rendering import Renderer
from advisor.data.sampling import TOO_LONG_CHARACTERS, Longest, Reservoir, Sampled
from advisor.data.source import Row, Source
from advisor.errors import InputError, Problem

SAMPLE_CHARACTERS = 4_000_000
LOOKED_AT = 200
"""Rows that decide the format."""
PROBLEMS_KEPT = 100
OF_ONE_KIND = 5


class Scan(msgspec.Struct, kw_only=True):
    """What one pass found."""

    format: DatasetFormat
    columns: tuple[str, ...]
    rows: int = 0
    broken: int = 0
    broken_rows: list[RowProblem] = []
    multi_turn: int = 0
    digests: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    """One 64-bit digest for each usable row, in order."""
    lines: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    statistics: LengthStatistics = msgspec.field(default_factory=LengthStatistics)
    sample: list[Sampled] = []
    """A uniform random sample of the usable rows (all of them when they are few)."""
    longest: list[Sampled] = []

    @property
    def usable(self) -> int:
        """Rows that can be trained on."""
        return self.rows - self.broken


def scan(
    source: Source,
    sample_rows: int,
    characters: int = SAMPLE_CHARACTERS,
    visit: Callable[[int, Example], None] | None = None,
) -> Scan:
    """Reads every row once, and shows each usable one with its line to `visit`.

    `sample_rows` and `characters` bound the sample that is kept (and the longest rows, by half as many characters).
    Raises InputError when no row is usable, or only one: nothing could be learnt from it or held back.
    """
    rows = source.rows()
    first = list(islice(rows, LOOKED_AT))
    kind = detect_format(first, source.name)
    columns = next(tuple(str(name) for name in row.value) for row in first if row.value is not None)
    found = Scan(format=kind, columns=columns)
    sample, longest = Reservoir(sample_rows, characters), Longest(characters // 2)
    for row in chain(first, rows):
        example = _usable(row, found)
        if example is None:
            continue
        tokens, answers = estimate_example(example)
        found.statistics.add(tokens, answers)
        found.multi_turn += example.num_answers > 1
        found.digests.append(digest(example))
        found.lines.append(row.line)
        if visit:
            visit(row.line, example)
        kept = Sampled(row.line, example)
        sample.add(kept)
        longest.add(tokens, kept)
    found.sample, found.longest = sample.kept, longest.rows()
    _check(found, source)
    return found


def count_tokens(
    found: Scan, renderer: Renderer, limit: int | None = None
) -> tuple[list[Measured], list[RowProblem]]:
    """Tokenises the sample and the longest rows into the scan's statistics.

    Returns the sample's counts, cut at `limit` tokens, and the rows that the template refuses.
    """
    counted: list[Measured] = []
    refused: list[RowProblem] = []
    statistics = found.statistics
    sample = [one for one in found.sample if one.example.size < TOO_LONG_CHARACTERS]
    measured = measure(renderer, (one.example for one in sample), limit)
    for kept, result in zip(sample, measured, strict=True):
        if isinstance(result, RowError):
            refused.append(RowProblem(line=kept.line, what=str(result)))
        else:
            counted.append(result)
            statistics.count(estimate_example(kept.example), result)
    if found.usable > len(found.sample):
        longest = [one.example for one in found.longest if one.example.size < TOO_LONG_CHARACTERS]
        statistics.longest_is_counted = len(longest) == len(found.longest)
        for result in measure(renderer, longest):
            if not isinstance(result, RowError):
                statistics.count_long(result)
    return counted, refused


def digest(example: Example) -> int:
    """64 bits of what is said in an example: equal for duplicates, whatever else their rows hold."""
    said = (
        example.text
        if not example.messages
        else "\x1e".join(f"{m['role']}\x1f{m['content']}" for m in example.messages)
    )
    return int.from_bytes(blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


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
    try:
        if row.value is None:
            raise RowError(row.problem)
        return normalise(row.value, found.format)
    except RowError as error:
        found.broken += 1
        _keep(found, RowProblem(line=row.line, what=str(error)))
        return None


def _keep(found: Scan, problem: RowProblem) -> None:
    """A few rows of each kind of problem, so that a common one does not hide the rare ones."""
    kind = problem.kind
    if len(found.broken_rows) < PROBLEMS_KEPT and sum(one.kind == kind for one in found.broken_rows) < OF_ONE_KIND:
        found.broken_rows.append(problem)


def _check(found: Scan, source: Source) -> None:
    shown = "; ".join(f"line {one.line}: {one.what}" for one in found.broken_rows[:3])
    if found.usable == 0:
        what = f"no example of {source.name} can be used ({found.broken} rows are broken)"
        raise InputError(Problem(what=what, why=f"{shown}.", fix="Repair the rows named.", where="--dataset"))
    if found.usable == 1:
        why = "Nothing can be held back to see whether training helped." + (f" Broken: {shown}." if shown else "")
        fix = "Give at least two examples; a useful fine-tuning begins at about fifty."
        raise InputError(Problem(what=f"{source.name} holds one usable example", why=why, fix=fix, where="--dataset"))
