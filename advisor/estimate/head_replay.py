"""The blocks that the head and the loss ask the allocator for, in the order in which they ask.

The logits of a step are cut into blocks of a few sizes that little else uses: which of them can serve which other one
decides how much stays reserved. One row alone is contiguous after its last token is cut off, so that no shifted copy
is made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from advisor.estimate.allocator import Block
from advisor.estimate.logits import HeadSizes, cell_bytes, head_bytes

FP32 = 4
Take = Callable[[int], Block | None]
"""Ask for so many bytes."""
Give = Callable[[Block | None], None]
"""Free a block."""


class HeadBatch(NamedTuple):
    """One micro-batch at the head."""

    size: HeadSizes
    tokens: int
    rows: int

    @property
    def cells(self) -> int:
        """Logits: tokens times vocabulary."""
        return self.tokens * self.size.vocab

    @property
    def scored(self) -> int:
        """Those that are scored: without the last token of each row."""
        return (self.tokens - self.rows) * self.size.vocab


def play_head(batch: HeadBatch, take: Take, give: Give, hold_spare: Callable[[int], None]) -> list[Block | None]:
    """Forward and backward through head and loss, up to the gradient of the logits; returns what is still held."""
    kind = batch.size.kind
    if not cell_bytes(batch.size) or kind == "chunk_list":
        return [take(head_bytes(batch.size, batch.tokens))]
    if kind in ("compute", "compute_in_place"):
        return _loss_in_compute(batch, take, give)
    if kind in ("upcast_shift", "in_place"):
        return _upcast_and_shifted(batch, take, give, hold_spare)
    return _upcast(batch, take, give)


def _upcast_and_shifted(
    batch: HeadBatch, take: Take, give: Give, hold_spare: Callable[[int], None]
) -> list[Block | None]:
    """fp32 logits, a shifted copy of them, then torch's loss or a kernel that writes the gradient over that copy."""
    size, cells, scored = batch.size, batch.cells, batch.scored
    half, whole = take(size.compute * cells), take(FP32 * cells)
    if size.drops_compute:
        give(half)
        half = None
    shifted = take(FP32 * scored) if batch.rows > 1 else None
    if size.kind == "in_place":
        # Runs with the kernel reserve what runs with torch's loss do, a third block of this size (fms-101 and -105,
        # -103 and -107: within 0.2 GiB), though no more than two are in use at once.
        hold_spare(FP32 * cells)
        gradient = shifted if shifted is not None else whole
        if gradient is whole:
            whole = None
        if not size.outputs_kept:
            _give_all(give, whole, half)
            whole = half = None
    else:
        gradient = _torch_loss(batch, FP32, shifted, (whole, half) if not size.outputs_kept else (), take, give)
        if not size.outputs_kept:
            whole = half = None
    unshifted = take(FP32 * cells)
    give(gradient)
    cast = take(size.compute * cells)
    give(unshifted)
    return [cast, half, whole]


def _torch_loss(
    batch: HeadBatch, width: int, logits: Block | None, outputs: tuple[Block | None, ...], take: Take, give: Give
) -> Block | None:
    """log-softmax, which is kept, and in backward the gradients of the loss and of the softmax; the last stays."""
    kept = take(width * batch.scored)
    _give_all(give, logits, *outputs)
    of_loss, of_softmax = take(width * batch.scored), take(width * batch.scored)
    _give_all(give, of_loss, kept)
    return of_softmax


def _upcast(batch: HeadBatch, take: Take, give: Give) -> list[Block | None]:
    """fp32 logits whose labels are shifted instead (transformers since 4.46)."""
    cells = batch.cells
    half, whole = take(batch.size.compute * cells), take(FP32 * cells)
    unshifted = HeadBatch(batch.size, batch.tokens, 0)
    gradient = _torch_loss(unshifted, FP32, whole, (half,), take, give)
    cast = take(batch.size.compute * cells)
    give(gradient)
    return [cast]


def _loss_in_compute(batch: HeadBatch, take: Take, give: Give) -> list[Block | None]:
    """Logits and their shifted copy in the compute dtype; under autocast the loss is fp32."""
    size, cells, scored = batch.size, batch.cells, batch.scored
    half = take(size.compute * cells)
    returned = take(FP32 * cells) if size.returns_fp32 else None
    shifted = take(size.compute * scored) if batch.rows > 1 else None
    width = FP32 if size.autocast else size.compute
    wide = take(FP32 * scored) if size.autocast else shifted
    if size.kind == "compute_in_place":
        gradient = wide
        give(shifted if size.autocast else None)
    else:
        gradient = _torch_loss(batch, width, wide, (shifted,) if size.autocast else (), take, give)
    if size.autocast:
        cast = take(size.compute * scored)
        give(gradient)
        gradient = cast
    unshifted = take(size.compute * cells)
    _give_all(give, gradient, returned)
    return [unshifted, half]


def _give_all(give: Give, *blocks: Block | None) -> None:
    for block in blocks:
        give(block)
