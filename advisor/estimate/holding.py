"""What a device holds beside tensors, by replay of its allocator, and whether a run plays within its room."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const
from advisor.estimate.allocator import DeviceFullError
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

    def given_back(self, bands: Bands, micro: int, length: int, room: int | None, least: int) -> Bands | None:
        """The bands of a run that takes all the room and fits in it, since cached blocks are given back; else None.

        It fits where `least`, the need without what the replay holds beside tensors, does; and where the replay plays
        in the room with tensors larger by the share of the band. Where lengths vary, batches cut blocks in ways that
        two steps do not show: then only the first counts.
        """
        allocated, reserved, device = bands
        if room is None or device.high <= room or not (least <= room or self._plays(allocated, micro, length, room)):
            return None
        inside = room - self.context
        return (
            allocated,
            Band(low=reserved.low, likely=min(reserved.likely, inside), high=inside),
            Band(low=device.low, likely=min(device.likely, room), high=room),
        )

    def _plays(self, allocated: Band, micro: int, length: int, room: int) -> bool:
        context = int(self.context * (1 + const.BAND_CONTEXT))
        if self.setting.lengths_vary or allocated.high + context > room:
            return False
        try:
            self.setting.play(micro, int(length * (1 + const.BAND_ALONE)), room - context)
        except DeviceFullError:
            return False
        return True
