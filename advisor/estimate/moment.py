"""One phase of a run at its worst moment, in bytes by component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from advisor.estimate.result import COMPONENTS, Phase, PhaseMemory


class Moment(NamedTuple):
    """Bytes of one phase at its worst, by component; `cached` and `context` are not tensors."""

    phase: Phase
    weights: int = 0
    adapters: int = 0
    gradients: int = 0
    states: int = 0
    activations: int = 0
    logits: int = 0
    buffers: int = 0
    workspace: int = 0
    cached: int = 0
    context: int = 0

    @property
    def allocated(self) -> int:
        """Tensor bytes."""
        standing = self.weights + self.adapters + self.gradients + self.states
        return standing + self.activations + self.logits + self.buffers + self.workspace

    @property
    def reserved(self) -> int:
        """Tensor bytes and what the allocator keeps beside them."""
        return self.allocated + self.cached

    @property
    def device(self) -> int:
        """Everything that the process holds on the device."""
        return self.reserved + self.context

    def shown(self) -> PhaseMemory:
        """As reports show it: what is not a tensor counts as runtime, with the workspaces."""
        parts = (
            self.weights,
            self.adapters,
            self.gradients,
            self.states,
            self.activations,
            self.logits,
            self.buffers,
            self.workspace + self.cached + self.context,
        )
        return PhaseMemory(phase=self.phase, parts=dict(zip(COMPONENTS, parts, strict=True)))


class Maxima(NamedTuple):
    """The largest of each counter over several phases, bytes."""

    allocated: int
    reserved: int
    device: int

    def joined(self, other: Maxima) -> Maxima:
        """The larger of each."""
        return Maxima(
            max(self.allocated, other.allocated), max(self.reserved, other.reserved), max(self.device, other.device)
        )


def maxima(moments: Iterable[Moment]) -> Maxima:
    """Largest tensor bytes, reserved bytes and device bytes over these phases."""
    allocated = reserved = device = 0
    for moment in moments:
        tensors = moment.allocated
        held = tensors + moment.cached
        allocated = max(allocated, tensors)
        reserved = max(reserved, held)
        device = max(device, held + moment.context)
    return Maxima(allocated, reserved, device)


def with_reserved(moments: Sequence[Moment], reserved: int) -> list[Moment]:
    """The same moments where the allocator holds so much at the fullest of them, and never more."""
    fullest = max(range(len(moments)), key=lambda index: moments[index].allocated)
    return [
        moment._replace(
            cached=max(0, reserved - moment.allocated)
            if index == fullest
            else max(0, min(moment.cached, reserved - moment.allocated))
        )
        for index, moment in enumerate(moments)
    ]
