"""The rules of PyTorch's caching allocator, as its source states them, and what holds for any order of requests."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimate.allocator import Allocator, Block, DeviceFullError, rounded, segment_bytes
from advisor.estimate.constants import MIB


@pytest.mark.parametrize(
    ("request_bytes", "block", "segment"),
    [
        (1, 512, 2 * MIB),
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (11 * MIB, 11 * MIB, 12 * MIB),
        (64 * MIB + 1, 64 * MIB + 512, 66 * MIB),
    ],
)
def test_a_request_is_rounded_and_the_first_of_its_kind_makes_a_segment(request_bytes, block, segment):
    assert (rounded(request_bytes), segment_bytes(rounded(request_bytes))) == (block, segment)
    allocator = Allocator()
    assert allocator.allocate(request_bytes).size in (block, segment)
    assert allocator.reserved == segment


@pytest.mark.parametrize(
    ("free", "asked", "block"),
    [
        (21 * MIB, 20 * MIB, 22 * MIB),  # 2 MiB would be left of the segment of 22: more than 1 MiB, yet see below
        (24 * MIB, 22 * MIB, 22 * MIB),
        (22 * MIB, 21 * MIB + 512, 22 * MIB),
    ],
)
def test_what_is_left_of_a_large_block_is_split_off_above_one_mebibyte(free, asked, block):
    allocator = Allocator()
    allocator.free(allocator.allocate(free))
    held = allocator.reserved
    got = allocator.allocate(asked).size
    assert got == (asked if held - asked > MIB else held)
    assert got <= block
    assert allocator.reserved == held


def test_the_smallest_free_block_that_is_large_enough_serves():
    allocator = Allocator()
    blocks = [allocator.allocate(size * MIB) for size in (40, 30, 20)]
    for block in blocks:
        allocator.free(block)
    assert allocator.allocate(25 * MIB).address == blocks[1].address
    assert allocator.reserved == 90 * MIB


def test_small_and_large_requests_never_share_a_segment():
    allocator = Allocator()
    allocator.free(allocator.allocate(32 * MIB))
    allocator.allocate(1000)
    assert allocator.reserved == 34 * MIB


def test_streams_never_share_a_segment():
    allocator = Allocator()
    allocator.free(allocator.allocate(32 * MIB, 1))
    allocator.allocate(32 * MIB, 2)
    assert allocator.reserved == 64 * MIB


def test_a_freed_block_joins_its_free_neighbours_of_the_same_segment_alone():
    allocator = Allocator()
    parts = [allocator.allocate(4 * MIB) for _ in range(5)]
    assert allocator.reserved == 20 * MIB
    for part in (parts[0], parts[2], parts[1]):
        allocator.free(part)
    assert allocator.allocate(9 * MIB).address == parts[0].address
    allocator.allocate(12 * MIB)
    assert allocator.reserved == 32 * MIB


def test_a_full_card_gets_back_whole_segments_and_no_split_ones():
    allocator = Allocator(64 * MIB)
    whole, pieces = allocator.allocate(32 * MIB), [allocator.allocate(4 * MIB) for _ in range(2)]
    allocator.free(whole)
    allocator.free(pieces[0])
    allocator.allocate(40 * MIB)
    assert (allocator.released, allocator.reserved) == (1, 60 * MIB)
    with pytest.raises(DeviceFullError):
        allocator.allocate(30 * MIB)


def test_an_expandable_segment_grows_by_its_end_and_gives_back_its_pages():
    allocator = Allocator(100 * MIB, expandable_segments=True)
    first, second = allocator.allocate(30 * MIB), allocator.allocate(30 * MIB)
    assert allocator.reserved == 60 * MIB
    allocator.free(second)
    allocator.allocate(45 * MIB)
    assert allocator.reserved == 80 * MIB
    allocator.free(first)
    allocator.allocate(40 * MIB)
    # of the 30 MiB in front the page of 20 that is wholly free went back
    assert (allocator.released, allocator.reserved) == (1, 100 * MIB)


def test_a_spare_block_is_reserved_where_there_is_room_and_counts_as_never_in_use():
    allocator = Allocator(50 * MIB)
    allocator.hold_spare(40 * MIB)
    allocator.hold_spare(60 * MIB)
    assert (allocator.reserved, allocator.most_allocated) == (40 * MIB, 0)


def test_a_block_is_freed_once():
    allocator = Allocator()
    block = allocator.allocate(MIB)
    allocator.free(block)
    with pytest.raises(ValueError, match="not in use"):
        allocator.free(block)


REQUESTS = st.one_of(st.integers(1, 2 * MIB), st.integers(1, 12).map(lambda n: n * MIB), st.just(33 * MIB))
STEPS = st.lists(st.tuples(st.booleans(), REQUESTS, st.integers(0, 1)), max_size=60)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.booleans(), st.one_of(st.none(), st.integers(4, 100).map(lambda n: 2 * n * MIB)))
def test_blocks_never_overlap_and_nothing_is_lost(steps, expandable, capacity):
    allocator = Allocator(capacity, expandable_segments=expandable)
    live: list[tuple[Block, int]] = []
    for frees, size, stream in steps:
        if frees and live:
            allocator.free(live.pop(size % len(live))[0])
        else:
            try:
                live.append((allocator.allocate(size, stream), stream))
            except DeviceFullError:
                assert capacity is not None
                continue
        assert sum(block.size for block, _ in live) == allocator.allocated <= allocator.reserved
        assert allocator.reserved <= allocator.most_reserved <= (capacity or allocator.most_reserved)
        spans = sorted((id(block.pool), block.address, block.address + block.size) for block, _ in live)
        for (pool, _, end), (other, start, _) in itertools.pairwise(spans):
            assert pool != other or end <= start
    for block, _ in live:
        allocator.free(block)
    allocator.release()
    assert allocator.allocated == 0
    assert expandable or allocator.reserved == 0
