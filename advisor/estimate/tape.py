"""A tape of one block: what autograd keeps after each operation, and the worst moment of its backward.

Bytes for each token. `note` records an operation in forward order with the tensors that it saves (a tensor saved by
several operations counts once) and the gradient bytes alive while its backward runs. `close` walks the tape
backwards: a saved tensor is freed when the earliest operation that saved it has run.
"""

from __future__ import annotations

from typing import NamedTuple


class Kept(NamedTuple):
    """What one block costs, bytes for each token."""

    saved: int
    """Held from forward to backward when the block is not checkpointed."""
    worst: int
    """Saved tensors and gradients at the worst moment of the block's backward."""


class Tape:
    """Records operations, then replays them backwards."""

    def __init__(self) -> None:
        self._operations: list[tuple[tuple[str, ...], int]] = []
        self._sizes: dict[str, int] = {}
        self._lasting: set[str] = set()

    def hold(self, name: str) -> None:
        """This tensor stays to the end of the block's backward: an operation keeps it outside autograd's care."""
        self._lasting.add(name)

    def note(self, saved: dict[str, int], live: int) -> None:
        """An operation that saves these tensors (name -> bytes); `live`: gradient bytes while its backward runs."""
        self._sizes.update(saved)
        self._operations.append((tuple(saved), live))

    def close(self) -> Kept:
        """Total saved, and the worst moment of backward."""
        first_user: dict[str, int] = {}
        for index, (names, _) in enumerate(self._operations):
            for name in names:
                first_user.setdefault(name, index)
        freed_after = [0] * len(self._operations)
        for name, index in first_user.items():
            if name in self._lasting:
                continue
            freed_after[index] += self._sizes[name]
        held = saved = sum(self._sizes.values())
        worst = saved
        for index in range(len(self._operations) - 1, -1, -1):
            worst = max(worst, held + self._operations[index][1])
            held -= freed_after[index]
        return Kept(saved, worst)
