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


class Operation(NamedTuple):
    """One operation of a block, bytes for each token."""

    saved: tuple[str, ...]
    """The tensors that it keeps for backward."""
    live: int
    """Gradient bytes while its backward runs."""
    weights: int = 0
    """Values of the matrices that it multiplies by."""


class Tape:
    """Records operations, then replays them backwards."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        """In forward order."""
        self.sizes: dict[str, int] = {}
        """Bytes of each saved tensor, for each token."""
        self.passing: list[tuple[int, str, int]] = []
        """What forward makes and no backward needs: (operations before it, name, bytes; 0 where it goes)."""
        self._present: set[str] = set()
        self._lasting: set[str] = set()

    def hold(self, name: str) -> None:
        """This tensor stays to the end of the block's backward: an operation keeps it outside autograd's care."""
        self._lasting.add(name)

    def make(self, name: str, size: int) -> None:
        """Forward makes a tensor of `size` bytes for each token; what an operation then saves of it is the same."""
        self.drop(name)
        self.passing.append((len(self.operations), name, size))
        self._present.add(name)

    def drop(self, *names: str) -> None:
        """Forward lets go of those of these tensors that are there."""
        for name in names:
            if name in self._present:
                self.passing.append((len(self.operations), name, 0))
                self._present.remove(name)

    def pass_by(self, *sizes: int) -> None:
        """Forward makes these one beside the other and lets go of them at once."""
        names = [f"brief{index}" for index in range(len(sizes))]
        for name, size in zip(names, sizes, strict=True):
            self.make(name, size)
        self.drop(*names)

    def note(self, saved: dict[str, int], live: int, weights: int = 0) -> None:
        """An operation that saves these tensors (name -> bytes); `live`: gradient bytes while its backward runs."""
        self.drop(*saved)
        self.sizes.update(saved)
        self.operations.append(Operation(tuple(saved), live, weights))

    def close(self) -> Kept:
        """Total saved, and the worst moment of backward."""
        freed_after = [sum(self.sizes[name] for name in names) for names in self.freed()]
        held = saved = sum(self.sizes.values())
        worst = saved
        for operation, freed in zip(reversed(self.operations), reversed(freed_after), strict=True):
            worst = max(worst, held + operation.live)
            held -= freed
        return Kept(saved, worst)

    def freed(self) -> list[list[str]]:
        """For each operation the saved tensors that its backward frees: those that no earlier one saved."""
        seen: set[str] = set(self._lasting)
        freed = []
        for operation in self.operations:
            freed.append([name for name in operation.saved if name not in seen])
            seen.update(operation.saved)
        return freed
