"""The tape of one kind of block as the caching allocator sees it: what each operation takes and frees."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from advisor.estimate.allocator import Allocator
from advisor.estimate.tape import Tape

SETTLED_AFTER = 2
"""Blocks whose backward made no segment; of like ones after them only what lasts is played."""


class Program(NamedTuple):
    """The tape of one kind of block as the allocator sees it; sizes are bytes for each token."""

    made: list[list[tuple[str, int]]]
    """By operation: tensors that it makes, those too that backward needs."""
    last_used: list[list[str]]
    """By operation: tensors that no later one needs in forward."""
    freed: list[list[str]]
    """By operation: what its backward frees."""
    live: list[Counter[int]]
    """By operation: gradients while its backward runs, how many of each size."""
    weights: list[int]
    """By operation: values of its matrix."""


def program(tape: Tape, gradient: int, mask: int = 0) -> Program:
    """`gradient`: bytes of the gradient that enters the block, `mask`: of its own copy of a mask, for each token."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, operation in enumerate(tape.operations):
        for name in operation.saved:
            first.setdefault(name, index)
            last[name] = index
    made: list[list[tuple[str, int]]] = [[] for _ in tape.operations]
    used: list[list[str]] = [[] for _ in tape.operations]
    for name, index in first.items():
        made[index].append((name, tape.sizes[name]))
    for name, index in last.items():
        used[index].append(name)
    freed = tape.freed()
    if mask:
        made[0].append(("mask", mask))
        used[-1].append("mask")
        freed[0].append("mask")
    live = [_pieces(op.live, gradient, [tape.sizes[name] for name in op.saved]) for op in tape.operations]
    return Program(made, used, freed, live, [op.weights for op in tape.operations])


def _pieces(live: int, gradient: int, sizes: list[int]) -> Counter[int]:
    """The gradient bytes of an operation as tensors: that of the stream, then those of the tensors it saved."""
    pieces: Counter[int] = Counter()
    for size in (gradient, *sorted(sizes, reverse=True)):
        times = min(1, live // size) if size == gradient and not pieces else live // size if size else 0
        if times:
            pieces[size] += times
            live -= times * size
    if live:
        pieces[live] += 1
    return pieces


class Settled:
    """Whether backward has settled: blocks of one kind have found all they take, and each frees more for the next."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator
        self._block: Program | None = None
        self._reserved = self._alike = 0

    def meets(self, block: Program) -> bool:
        """Whether SETTLED_AFTER blocks of this kind before it made no segment."""
        same = block is self._block and self._allocator.most_reserved == self._reserved
        self._alike = self._alike + 1 if same else 0
        self._block, self._reserved = block, self._allocator.most_reserved
        return self._alike >= SETTLED_AFTER
