"""PyTorch's caching allocator, in arithmetic: which block of which segment serves a request, and what stays reserved.

    allocator = Allocator(capacity=79 * GIB)
    block = allocator.allocate(5 * MIB)      # a 20 MiB segment is made and split
    allocator.free(block)                    # stays reserved, joined to its free neighbours
    allocator.reserved, allocator.allocated

The rules are those of c10/cuda/CUDACachingAllocator.cpp (DeviceCachingAllocator::malloc, get_allocation_size,
get_free_block, should_split, try_merge_blocks, release_cached_blocks) without max_split_size, garbage collection,
rounding to powers of two and CUDA graphs, which are off unless a user sets them:

* a request is rounded up to 512 bytes; up to 1 MiB it is small, and small blocks lie in segments of their own;
* the smallest free block of its pool and stream that is large enough serves it, the lowest address among equals;
* without one, a segment is made: 2 MiB for a small request, 20 MiB below 10 MiB, else the request up to a multiple of
  2 MiB;
* what is left of a block is split off from 512 bytes (small) or from more than 1 MiB (large);
* a block that is freed joins its free neighbours in the same segment;
* a segment that the card cannot give makes the allocator return every segment that is wholly free, and try once more.

With expandable segments each pool of a stream is one segment whose end grows by pages of 2 MiB (small) or 20 MiB
(large); a block is split whenever 512 bytes are left, and under pressure whole free pages are given back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from advisor.estimate.constants import MIB

ROUNDING = 512
"""Every request is a multiple of this (kMinBlockSize)."""
SMALL_REQUEST = MIB
"""The largest request that comes from small segments (kSmallSize)."""
SMALL_SEGMENT = 2 * MIB
"""kSmallBuffer."""
SHARED_SEGMENT = 20 * MIB
"""A segment for requests above SMALL_REQUEST and below OWN_SEGMENT_FROM (kLargeBuffer)."""
OWN_SEGMENT_FROM = 10 * MIB
"""From here on a request gets a segment of its own size (kMinLargeAlloc)."""
SEGMENT_ROUNDING = 2 * MIB
"""That size is a multiple of this (kRoundLarge)."""
ADDRESS_BITS = 60
"""Addresses lie below two to this power: no play reserves an exbibyte."""


Step = tuple[int, int]
"""A name and bytes: above 0 they are asked for, below 0 what is held by the name is freed."""


class DeviceFullError(Exception):
    """The card cannot hold what is asked for, even after every free segment went back."""


class Block:
    """A stretch of a segment, in use or free; its neighbours in the segment by address."""

    __slots__ = ("address", "after", "before", "in_use", "pool", "size")

    def __init__(
        self, address: int, size: int, pool: Pool, before: Block | None = None, after: Block | None = None
    ) -> None:
        self.address = address
        self.size = size
        self.pool = pool
        self.in_use = False
        self.before = before
        self.after = after

    @property
    def is_segment(self) -> bool:
        """Whether it is a whole segment."""
        return self.before is None and self.after is None


class Pool:
    """The free blocks of one stream and one class of size, the smallest first."""

    def __init__(self, small: bool, most_left: int) -> None:
        self.small = small
        self.most_left = most_left
        """Bytes of a block beyond a request that stay with it; more are split off."""
        self.order: list[int] = []
        """Each free block as one number, its size before its address; no two have one address."""
        self.blocks: dict[int, Block] = {}
        """The block of each number."""
        self.last: Block | None = None
        """Under expandable segments: the block at the end of the pool's one segment."""
        self.end = 0
        """Under expandable segments: where that segment ends."""

    def add(self, block: Block) -> None:
        """Take a free block in."""
        number = block.size << ADDRESS_BITS | block.address
        insort(self.order, number)
        self.blocks[number] = block

    def remove(self, block: Block) -> None:
        """Take a block out, to join it."""
        number = block.size << ADDRESS_BITS | block.address
        del self.order[bisect_left(self.order, number)], self.blocks[number]


def rounded(request: int) -> int:
    """The bytes that a request occupies."""
    return max(ROUNDING, -(-request // ROUNDING) * ROUNDING)


def segment_bytes(size: int) -> int:
    """The segment that is made for a rounded request no free block can serve."""
    if size <= SMALL_REQUEST:
        return SMALL_SEGMENT
    if size < OWN_SEGMENT_FROM:
        return SHARED_SEGMENT
    return -(-size // SEGMENT_ROUNDING) * SEGMENT_ROUNDING


class Allocator:
    """The allocator of one device. `capacity`: bytes that segments can take together; None: without limit."""

    def __init__(self, capacity: int | None = None, *, expandable_segments: bool = False) -> None:
        self.capacity, self.expandable_segments = capacity, expandable_segments
        self.allocated = self.reserved = self.most_allocated = self.most_reserved = 0
        self.released = 0
        """How often segments went back because the card was full."""
        self._pools: dict[tuple[bool, int], Pool] = {}
        self._next_address = 0

    def allocate(self, request: int, stream: int = 0) -> Block:
        """A block of at least `request` bytes. Raises DeviceFullError."""
        size = rounded(request)
        return self._taken(self._pool(size <= SMALL_REQUEST, stream), size)

    def follow(self, steps: Iterable[Step], held: dict[int, Block]) -> None:
        """Step by step, requests on the first stream, rounded and large; `held`: blocks by name, kept up to date.

        Raises DeviceFullError.
        """
        pool, take, give = self._pool(small=False, stream=0), self._taken, self.free
        for name, size in steps:
            if size > 0:
                held[name] = take(pool, size)
            else:
                give(held.pop(name))

    def _taken(self, pool: Pool, size: int) -> Block:
        """The best fit among free blocks, else a new segment; what is left of it is split off."""
        order = pool.order
        place = bisect_left(order, size << ADDRESS_BITS)
        if place < len(order):
            block = pool.blocks.pop(order.pop(place))
        else:
            block = self._grown(pool, size) if self.expandable_segments else self._segment(pool, size)
        left = block.size - size
        if left > pool.most_left:
            self._split(block, size)
        block.in_use = True
        self.allocated += block.size
        self.most_allocated = max(self.most_allocated, self.allocated)
        return block

    def hold_spare(self, request: int) -> None:
        """Reserve and leave free what a request would take, where the card has room; it counts as never in use."""
        most, size = self.most_allocated, rounded(request)
        if self.capacity is None or self.reserved + segment_bytes(size) <= self.capacity:
            self.free(self.allocate(request))
            self.most_allocated = most

    def free(self, block: Block) -> None:
        """The block becomes free and joins free neighbours; its segment stays reserved."""
        if not block.in_use:
            raise ValueError("the block is not in use")
        block.in_use = False
        self.allocated -= block.size
        pool, before, after = block.pool, block.before, block.after
        if before is not None and not before.in_use:
            pool.remove(before)
            block = self._joined(before, block)
        if after is not None and not after.in_use:
            pool.remove(after)
            block = self._joined(block, after)
        pool.add(block)

    def release(self) -> None:
        """Give back what is wholly free: segments, or the pages of expandable ones."""
        for pool in self._pools.values():
            for block in list(pool.blocks.values()):
                if self.expandable_segments:
                    self._unmap(pool, block)
                elif block.is_segment:
                    pool.remove(block)
                    self.reserved -= block.size

    def _pool(self, small: bool, stream: int) -> Pool:
        pool = self._pools.get((small, stream))
        if pool is None:
            most_left = ROUNDING - 1 if small or self.expandable_segments else SMALL_REQUEST
            pool = self._pools[small, stream] = Pool(small, most_left)
        return pool

    def _segment(self, pool: Pool, size: int) -> Block:
        size = segment_bytes(size)
        self._reserve(size)
        block = Block(self._next_address, size, pool)
        self._next_address += size
        return block

    def _reserve(self, size: int) -> None:
        if self.capacity is not None and self.reserved + size > self.capacity:
            self.released += 1
            self.release()
            if self.reserved + size > self.capacity:
                raise DeviceFullError(size)
        self.reserved += size
        self.most_reserved = max(self.most_reserved, self.reserved)

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size, block.pool, block, block.after)
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        if block.pool.last is block:
            block.pool.last = rest
        block.pool.add(rest)

    def _joined(self, first: Block, second: Block) -> Block:
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        if first.pool.last is second:
            first.pool.last = first
        return first

    def _grown(self, pool: Pool, size: int) -> Block:
        """The end of the pool's one segment, mapped far enough; a free end is a part of it."""
        page = SMALL_SEGMENT if pool.small else SHARED_SEGMENT
        mapped = self._missing_pages(pool, size, page)
        if self.capacity is not None and self.reserved + mapped > self.capacity:
            self.released += 1
            self.release()
            mapped = self._missing_pages(pool, size, page)
            if self.reserved + mapped > self.capacity:
                raise DeviceFullError(size)
        self._reserve(mapped)
        end, start = pool.last, pool.end
        pool.end += mapped
        if end is not None and not end.in_use:
            pool.remove(end)
            end.size += mapped
            return end
        block = Block(start, mapped, pool)
        if end is not None and end.address + end.size == block.address:
            block.before, end.after = end, block
        pool.last = block
        return block

    def _missing_pages(self, pool: Pool, size: int, page: int) -> int:
        end = pool.last
        free = end.size if end is not None and not end.in_use else 0
        return -(-(size - free) // page) * page

    def _unmap(self, pool: Pool, block: Block) -> None:
        """The whole pages of a free block of an expandable segment go back; what is left on both sides stays."""
        page = SMALL_SEGMENT if pool.small else SHARED_SEGMENT
        start, end = -(-block.address // page) * page, (block.address + block.size) // page * page
        if end <= start:
            return
        pool.remove(block)
        self.reserved -= end - start
        ends_segment = block is pool.last
        before, after, stop = block.before, block.after, block.address + block.size
        if block.address < start:
            block.size, block.after = start - block.address, None
            pool.add(block)
            before = block
        elif before is not None:
            before.after = None
        if ends_segment:
            pool.last, pool.end = before, start
            return
        rest = Block(end, stop - end, pool) if end < stop else None
        if after is not None:
            after.before = rest
        if rest is not None:
            rest.after = after
            pool.add(rest)
