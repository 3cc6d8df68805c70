"""The tape of one kind of block as the caching allocator sees it: what its passes take and free, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import NamedTuple

from advisor.estimate.allocator import SMALL_REQUEST, Allocator, Step, rounded
from advisor.estimate.tape import Tape

SETTLED_AFTER = 2
"""Blocks whose backward made no segment; of like ones after them only what lasts is played."""
MOST_PIECES = 4096
"""Gradients of one size; real operations have up to about a thousand, more are played as one tensor."""
STREAM, AGAIN, UNPACKED = 0, 1, 2
"""Names in a block's steps: what goes on to the next block (the output, in backward the gradient of the input), the
output that is computed again, and the weight that is unpacked."""

Steps = list[Step]


class Program(NamedTuple):
    """The steps of one kind of block, bytes for each token; each tensor has a number for a name."""

    made: list[Steps]
    """By operation: tensors that it makes, those too that backward needs."""
    last_used: list[Steps]
    """By operation: what no later one needs in forward."""
    ending: Steps
    """What forward lets go of once the output is made."""
    backward: list[Steps]
    """Backward, cut where the gradient of a matrix is taken; what forward kept is freed by it."""
    weights: list[int]
    """Values of that matrix, after each part but the last."""
    stream: int
    """What goes from block to block."""
    names: range
    """Names that are free for gradients of matrices."""


class Passes(NamedTuple):
    """The steps of one kind of block in one micro-batch, bytes, without what lies in small segments."""

    forward: Steps
    backward: Steps
    """With what is computed again for it."""


def program(tape: Tape, stream: int, mask: int = 0) -> Program:
    """`stream`: bytes of what goes from block to block, `mask`: of a block's own copy of a mask, for each token."""
    numbers = count(UNPACKED + 1)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, operation in enumerate(tape.operations):
        for name in operation.saved:
            first.setdefault(name, index)
            last[name] = index
    made: list[Steps] = [[] for _ in tape.operations]
    used: list[Steps] = [[] for _ in tape.operations]
    taken = {name: (next(numbers), tape.sizes[name]) for name in first}
    for name, index in first.items():
        made[index].append(taken[name])
        used[last[name]].append(_freed(taken[name]))
    freed = [[_freed(taken[name]) for name in names] for names in tape.freed()]
    if mask:
        copy = next(numbers), mask
        made[0].append(copy)
        used[-1].append(_freed(copy))
        freed[0].append(_freed(copy))
    lasting = {_freed(tensor) for tensor in chain(*made)}.difference(*freed)
    ending = _with_passing(tape, made, numbers)
    others = sorted(set(tape.sizes.values()), reverse=True)
    live = [_pieces(op.live, stream, [tape.sizes[name] for name in op.saved], others) for op in tape.operations]
    weights = [operation.weights for operation in tape.operations]
    backward = _backward(freed, live, weights, stream, numbers)
    backward[-1] += sorted(lasting)
    own = [values for values in reversed(weights) if values]
    start = next(numbers)
    return Program(made, used, ending, backward, own, stream, range(start, start + len(own)))


def _with_passing(tape: Tape, made: list[Steps], numbers: Iterator[int]) -> Steps:
    """Put what forward makes in passing before what each operation saves; returns what comes after the last."""
    alive: dict[str, Step] = {}
    before: list[Steps] = [[] for _ in range(len(made) + 1)]
    for index, name, size in tape.passing:
        if size:
            alive[name] = next(numbers), size
        before[index].append(alive[name] if size else _freed(alive.pop(name)))
    for steps, own in zip(before, made, strict=False):
        own[:0] = steps
    return before[-1] + [_freed(step) for step in alive.values()]


def _freed(taken: Step) -> Step:
    name, size = taken
    return name, -size


def _backward(
    freed: list[Steps], live: list[Counter[int]], weights: list[int], stream: int, numbers: Iterator[int]
) -> list[Steps]:
    """The operations from last to first; at the end the gradient of the block's input stands alone.

    `live`: gradients while an operation's backward runs, how many of each size.
    """
    parts: list[Steps] = [[]]
    alive: dict[int, list[int]] = {}
    for index in range(len(live) - 1, -1, -1):
        counts, part = live[index], parts[-1]
        for size, names in alive.items():
            part += [(name, -size) for name in names[counts[size] :]]
            del names[counts[size] :]
        for size, times in counts.items():
            names = alive.setdefault(size, [])
            new = [next(numbers) for _ in range(times - len(names))]
            part += [(name, size) for name in new]
            names += new
        if weights[index]:
            parts.append([])
        parts[-1] += freed[index]
    parts[-1].append((STREAM, stream))
    parts[-1] += [(name, -size) for size, names in alive.items() for name in names]
    return parts


def passes(
    block: Program,
    tokens: int,
    *,
    checkpointed: bool,
    outputs_again: bool,
    unpacked: int,
    gradient_width: int,
    gradients_stay: bool,
) -> Passes:
    """The steps of a micro-batch of `tokens`.

    `checkpointed`: backward computes the block again, its output too by `outputs_again`. `unpacked`: bytes of the
    quantised weight that is unpacked for backward. `gradient_width`: bytes of a value in the gradients of matrices,
    0 where none gets its own; `gradients_stay` beyond the block.
    """
    output = STREAM, block.stream
    kept = _sized(chain(*block.made), tokens)
    ended = _sized(block.ending, tokens)
    backward = _own_gradients(block, tokens, gradient_width, stay=gradients_stay)
    if unpacked > SMALL_REQUEST:
        backward = [(UNPACKED, rounded(unpacked)), *backward, (UNPACKED, -unpacked)]
    if not checkpointed:
        return Passes(kept + _sized([output], tokens) + ended, backward)
    both = zip(block.made, block.last_used, strict=True)
    forward = _sized(chain(*chain(*both), [output], block.ending), tokens)
    again = (AGAIN, block.stream) if outputs_again else (AGAIN, 0)
    return Passes(forward, kept + _sized([again], tokens) + ended + backward + _sized([_freed(again)], tokens))


def _own_gradients(block: Program, tokens: int, width: int, *, stay: bool) -> Steps:
    """Backward with the gradients of matrices between its parts."""
    steps: Steps = []
    matrices = [*zip(block.names, block.weights, strict=True), (0, 0)]
    for part, matrix in zip(block.backward, matrices, strict=True):
        steps += _sized(part, tokens)
        gradient = _sized([matrix], width)
        steps += gradient if stay else gradient + [_freed(step) for step in gradient]
    return steps


def _sized(steps: Iterable[Step], tokens: int) -> Steps:
    """These steps in bytes, rounded as requests are."""
    return [
        (name, rounded(size * tokens) if size > 0 else size)
        for name, size in steps
        if size * tokens > SMALL_REQUEST or -size * tokens > SMALL_REQUEST
    ]


def _pieces(live: int, gradient: int, sizes: list[int], others: list[int]) -> Counter[int]:
    """The gradient bytes of an operation as tensors: that of the stream, then those of the tensors it saved, then of
    `others` of the block."""
    pieces: Counter[int] = Counter()
    for size in (gradient, *sorted(sizes, reverse=True), *others):
        times = min(1, live // size) if size == gradient and not pieces else live // size if size else 0
        if 0 < times <= MOST_PIECES:
            pieces[size] += times
            live -= times * size
    if live:
        pieces[live] += 1
    return pieces


class Settled:
    """Whether backward has settled: blocks of one kind have found all they take, and each frees more for the next."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator
        self._block: Passes | None = None
        self._reserved = self._alike = 0

    def meets(self, block: Passes) -> bool:
        """Whether SETTLED_AFTER blocks of this kind before it made no segment."""
        same = block is self._block and self._allocator.most_reserved == self._reserved
        self._alike = self._alike + 1 if same else 0
        self._block, self._reserved = block, self._allocator.most_reserved
        return self._alike >= SETTLED_AFTER
