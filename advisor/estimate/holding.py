"""What a device holds beside tensors, by replay of its allocator, and whether a run plays within its room."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.replay import Setting
from advisor.estimate.result import Band

Bands = tuple[Band, Band, Band]
"""Allocated, reserved, device."""


class Holding(NamedTuple):
    """One plan on one device; bytes."""

    setting: Setting
    static: int
    """Weights, adapters and states: what a correction leaves alone."""
    context: int
    """What the process holds outside the allocator."""
    factor: float
    """The ledger's correction of what moves; 1 without one."""

    def reserved(self, micro: int, length: int, allocated: int) -> int:
        """What the allocator holds where `allocated` bytes are in use at most."""
        played = self.setting.play(micro, length)
        uncorrected = self.static + int((allocated - self.static) / self.factor)
        held = played.reserved + max(0, uncorrected - played.allocated)
        return max(allocated, self.static + int((held - self.static) * self.factor))

    def in_room(self, bands: Bands, micro: int, length: int, room: int | None, by_shares: int) -> Bands:
        """The bands of a run that plays in the room, where they stand above it: cached blocks are given back for it.

        The likely figure is that of the run itself; for the upper end tensors larger by the share of the band are
        played, unless the need by measured shares fits already. Where lengths vary, batches cut blocks in ways that
        two steps do not show: there the shares alone decide.
        """
        allocated, reserved, device = bands
        if room is None or device.high <= room:
            return bands
        inside = room - self.context
        sure = by_shares <= room
        if not sure and device.likely > room and not self._plays(allocated.likely, micro, length, inside):
            return bands
        if not sure and not self.setting.lengths_vary:
            larger, unsure = int(length * (1 + const.BAND_ALONE)), int(self.context * const.BAND_CONTEXT)
            sure = self._plays(allocated.high, micro, larger, inside - unsure)
        return allocated, _within(reserved, inside, sure), _within(device, room, sure)

    def _plays(self, allocated: int, micro: int, length: int, room: int) -> bool:
        return allocated <= room and self.setting.played(micro, length, room) is not None


def _within(band: Band, room: int, sure: bool) -> Band:
    """A band whose likely figure is no larger than the room; where that is sure, its upper end is the room."""
    return Band(low=band.low, likely=min(band.likely, room), high=room if sure else band.high)
