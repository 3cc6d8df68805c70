"""Token lengths of examples: counted with the model's own tokenizer, else estimated from the text.

A large dataset is tokenised in part: the estimate of every row is brought onto the tokenised sample by a straight
line, and the rows with the longest text are always tokenised, so that the longest example is a count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from advisor.data.profile import Lengths
from advisor.data.rendering import Renderer
from trainers.examples.example import Example, RowError
from trainers.examples.labels import label
from trainers.examples.spans import Rendered

if TYPE_CHECKING:
    from tokenizers import Encoding

# English text of published chat sets: 4.1 to 4.5 characters a token in the vocabularies of 2024 to 2026. Letters
# outside ASCII cost more: about 0.35 token for each byte beyond the first (0.35 for Cyrillic, 0.7 for Chinese).
_ASCII_CHARACTERS_PER_TOKEN = 4.2
_TOKENS_PER_EXTRA_BYTE = 0.35
_TOKENS_PER_MESSAGE = 5
"""Role marker, line breaks and end-of-turn token of a chat template."""
_TOKENS_PER_PICTURE = 256
"""Gemma 3's number for every picture. It tells rows with many from rows with few; counts bring it to the model's."""
_BATCH = 64


class Measured(msgspec.Struct, frozen=True):
    """One example, tokenised: its length and what the loss would look at."""

    tokens: int
    supervised: int
    supervised_within: int
    """Supervised tokens that survive the cut at the length limit; equal to `supervised` without one."""
    ends: bool
    """Whether the template's own token that stops generation is among the supervised tokens."""
    picture_end: int = 0
    """Tokens up to the end of its last picture; 0 where it has none."""


def estimate_tokens(text: str) -> float:
    """Tokens of a text, from its characters and bytes alone."""
    extra = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
    return (
        len(text) - extra / 2 if extra else len(text)
    ) / _ASCII_CHARACTERS_PER_TOKEN + extra * _TOKENS_PER_EXTRA_BYTE


def estimate_example(example: Example) -> tuple[float, float]:
    """(tokens of the whole example, tokens of its answers), estimated."""
    if not example.messages:
        tokens = estimate_tokens(example.text)
        return tokens, tokens
    total, answers = float(len(example.images) * _TOKENS_PER_PICTURE), 0.0
    for message in example.messages:
        content = message["content"]
        tokens = len(content) / _ASCII_CHARACTERS_PER_TOKEN if content.isascii() else estimate_tokens(content)
        total += tokens + _TOKENS_PER_MESSAGE
        if message["role"] == "assistant":
            answers += tokens + 1
    return total, answers


def measure(
    renderer: Renderer, examples: Iterable[Example], limit: int | None = None
) -> Iterator[tuple[Measured, Rendered] | RowError]:
    """Each example tokenised, with its marked text; a RowError in the place of one that cannot be proven."""
    waiting = iter(examples)
    while batch := list(islice(waiting, _BATCH)):
        rendered: list[Rendered | RowError] = []
        for example in batch:
            try:
                rendered.append(renderer.mark(example))
            except RowError as error:
                rendered.append(error)
        encodings = _encoded(renderer, rendered)
        for one in rendered:
            try:
                yield (_measured(one, encodings[id(one)], renderer, limit), one) if isinstance(one, Rendered) else one
            except RowError as error:
                yield error


def _encoded(renderer: Renderer, rendered: list[Rendered | RowError]) -> dict[int, Encoding]:
    """The tokens of each marked text, by its identity."""
    encodings: dict[int, Encoding] = {}
    for needs_bos in (False, True):
        batch = [one for one in rendered if isinstance(one, Rendered) and one.needs_bos == needs_bos]
        found = renderer.encode([one.text for one in batch], add_special_tokens=needs_bos)
        encodings |= {id(one): encoding for one, encoding in zip(batch, found, strict=True)}
    return encodings


def _measured(rendered: Rendered, encoding: Encoding, renderer: Renderer, limit: int | None) -> Measured:
    found = label(rendered, encoding.ids, encoding.offsets, renderer.end_ids, renderer.eos_id)
    within = len(found.learnt) if limit is None else bisect_left(found.learnt, limit)
    seen = renderer.picture_token_id
    picture_end = 0 if seen is None else max((end for end, one in enumerate(found.ids, 1) if one == seen), default=0)
    return Measured(
        tokens=len(found.ids),
        supervised=len(found.learnt),
        supervised_within=within,
        ends=found.has_own_end or rendered.is_plain,
        picture_end=picture_end,
    )


class LengthStatistics:
    """Collects estimates of all rows and counts of some, and turns them into Lengths."""

    def __init__(self) -> None:
        self.histogram: dict[int, int] = {}
        self.rows = 0
        self.estimated_total = 0.0
        self.estimated_answers = 0.0
        self._longest_estimate = 0
        self._pairs: list[tuple[float, float, Measured]] = []
        self._longest_counted = 0
        self.longest_is_counted = True
        """False when the longest row was too long to be tokenised."""

    def add(self, tokens: float, answer_tokens: float) -> None:
        """One row's estimates."""
        self.rows += 1
        self.estimated_total += tokens
        self.estimated_answers += answer_tokens
        whole = round(tokens)
        self.histogram[whole] = self.histogram.get(whole, 0) + 1
        self._longest_estimate = max(self._longest_estimate, whole)

    def count(self, estimate: tuple[float, float], measured: Measured) -> None:
        """One row of the random sample, tokenised."""
        self._pairs.append((*estimate, measured))
        self.count_long(measured)

    def count_long(self, measured: Measured) -> None:
        """One of the longest rows, tokenised."""
        self._longest_counted = max(self._longest_counted, measured.tokens)

    def lengths(self) -> Lengths:
        """Percentiles over all rows, in tokens."""
        if not self._pairs:
            return self._lengths(self.histogram, exact=False, longest=self._longest_estimate, sampled=0)
        return self._lengths(self.brought(), exact=True, longest=self._longest_counted, sampled=len(self._pairs))

    def over(self, limit: int) -> tuple[int, int]:
        """(examples longer than `limit` tokens, their tokens beyond it) over all rows."""
        longer = [(tokens - limit, count) for tokens, count in self.brought().items() if tokens > limit]
        return sum(count for _, count in longer), sum(excess * count for excess, count in longer)

    def brought(self) -> dict[int, int]:
        """Tokens -> examples over all rows: counted, or estimates brought onto the counts."""
        if not self._pairs:
            return dict(self.histogram)
        if len(self._pairs) >= self.rows:
            return _histogram(pair[2].tokens for pair in self._pairs)
        slope, offset = self._line()
        brought: dict[int, int] = {}
        for estimate, count in self.histogram.items():
            tokens = max(1, round(offset + slope * estimate))
            brought[tokens] = brought.get(tokens, 0) + count
        return brought

    def total_tokens(self) -> int:
        """Tokens of all rows."""
        if not self._pairs:
            return round(self.estimated_total)
        counted = sum(pair[2].tokens for pair in self._pairs)
        return round(self._scaled(counted, sum(pair[0] for pair in self._pairs), self.estimated_total))

    def answer_tokens(self) -> int:
        """Tokens of all answers."""
        if not self._pairs:
            return round(self.estimated_answers)
        counted = sum(pair[2].supervised for pair in self._pairs)
        return round(self._scaled(counted, sum(pair[1] for pair in self._pairs), self.estimated_answers))

    def _scaled(self, counted: float, estimated: float, whole: float) -> float:
        if len(self._pairs) >= self.rows or not estimated:
            return counted
        return whole * counted / estimated

    def _line(self) -> tuple[float, float]:
        """Slope and offset that bring estimates onto counts, by least squares, or through the origin."""
        count = len(self._pairs)
        mean_x = sum(pair[0] for pair in self._pairs) / count
        mean_y = sum(pair[2].tokens for pair in self._pairs) / count
        spread = sum((pair[0] - mean_x) ** 2 for pair in self._pairs)
        together = sum((pair[0] - mean_x) * (pair[2].tokens - mean_y) for pair in self._pairs)
        slope = together / spread if spread else 0.0
        if slope <= 0:
            return (mean_y / mean_x if mean_x else 1.0), 0.0
        return slope, mean_y - slope * mean_x

    def _lengths(self, histogram: Mapping[int, int], *, exact: bool, longest: int, sampled: int) -> Lengths:
        p50, p90, p95, p99 = percentiles(histogram, (0.5, 0.9, 0.95, 0.99))
        mean = self.total_tokens() / self.rows if self.rows else 0.0
        top = max(longest, p99 if self.longest_is_counted else max(histogram))
        return Lengths(
            mean=mean, p50=p50, p90=p90, p95=p95, p99=p99, longest=top, exact_tokens=exact, sampled_rows=sampled
        )


def percentiles(histogram: Mapping[int, int], shares: Iterable[float]) -> list[int]:
    """The smallest lengths that at least these shares of the rows do not exceed."""
    total = sum(histogram.values())
    ordered = sorted(histogram.items())
    found = []
    for share in shares:
        below = 0
        found.append(next((value for value, count in ordered if (below := below + count) >= share * total), 0))
    return found


def _histogram(values: Iterable[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts
