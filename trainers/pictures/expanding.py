"""The text of an example with the tokens of its pictures in it, and its learnt stretches where they stand then."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from trainers.examples.example import RowError
from trainers.examples.spans import Rendered, Span
from trainers.language import tr


class _Move(NamedTuple):
    """One mark that became a picture's tokens."""

    mark: int
    """Where the mark began."""
    begin: int
    """Where the tokens begin, in the new text."""
    end: int
    grown: int
    """Characters that it added."""


def expanded(rendered: Rendered, mark: str, written: Sequence[str]) -> Rendered:
    """The text with what is `written` for each picture in the place of its mark; none of that is learnt.

    Raises RowError where marks and pictures differ in number.
    """
    pieces = rendered.text.split(mark)
    if len(pieces) - 1 != len(written):
        raise RowError(
            tr("{marks} marks stand for {pictures} pictures", marks=len(pieces) - 1, pictures=len(written))
        )
    moves: list[_Move] = []
    old = new = 0
    for piece, text in zip(pieces, written, strict=False):
        old, new = old + len(piece), new + len(piece)
        moves.append(_Move(old, new, new + len(text), len(text) - len(mark)))
        old, new = old + len(mark), new + len(text)
    whole = "".join(part for pair in zip(pieces, (*written, ""), strict=True) for part in pair)

    def at(place: int) -> int:
        return place + sum(move.grown for move in moves if move.mark < place)

    def spans(stretches: Sequence[Span]) -> tuple[Span, ...]:
        return tuple(piece for start, end in stretches for piece in _without((at(start), at(end)), moves))

    answers = tuple(msgspec.structs.replace(answer, spans=spans(answer.spans)) for answer in rendered.answers)
    return msgspec.structs.replace(rendered, text=whole, spans=spans(rendered.spans), answers=answers)


def _without(span: Span, moves: Sequence[_Move]) -> list[Span]:
    """A stretch less the pictures in it."""
    inside = [(move.begin, move.end) for move in moves if span[0] <= move.begin and move.end <= span[1]]
    bounds = [span[0], *(bound for pair in inside for bound in pair), span[1]]
    return [(start, end) for start, end in list(pairwise(bounds))[::2] if end > start]
