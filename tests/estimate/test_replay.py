"""The replay of a run: it uses what the estimate counts, and reserves more for reasons that can be named."""

from __future__ import annotations

import msgspec
import pytest

from advisor.estimate import Estimator, program, replay, stacks
from advisor.estimate.allocator import Allocator, Block
from advisor.estimate.constants import GIB, MIB
from advisor.estimate.head_replay import HeadBatch, play_head
from advisor.estimate.holding import Holding
from advisor.estimate.logits import cell_bytes
from advisor.estimate.replay import Replayed, Setting, is_replayed, lengths_of_batches
from tests.estimate.shapes import model, plan

SMALL, LARGE = "SmolLM2-135M", "Llama-3.1-8B"
PACKED = {"packing": True, "max_seq_len": 2048, "micro_batch_size": 2}


def setting(estimator: Estimator) -> Setting:
    return estimator._holding().setting


def played(estimator: Estimator, capacity: int | None = None) -> Replayed:
    return setting(estimator).play(estimator.plan.micro_batch_size, estimator.plan.max_seq_len, capacity)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_what_the_replay_uses_at_most_is_what_the_estimate_counts(method, checkpointing):
    estimator = Estimator(model(LARGE), plan(method, gradient_checkpointing=checkpointing, **PACKED))
    counted = estimator.estimate(replayed=False).allocated.likely
    found = played(estimator)
    assert found.allocated == pytest.approx(counted, rel=0.04)
    assert found.reserved >= found.allocated


@pytest.mark.parametrize("kind", ["upcast_shift", "in_place", "upcast", "compute", "compute_in_place", "tiled"])
def test_a_head_gives_back_all_that_it_takes_and_holds_no_more_than_its_cells(kind):
    head = Estimator(model(LARGE), plan("lora")).state.head._replace(kind=kind)
    allocator, tokens = Allocator(), 4096

    def give(block: Block | None) -> None:
        if block is not None:
            allocator.free(block)

    for block in play_head(HeadBatch(head, tokens, 2), allocator.allocate, give, allocator.hold_spare):
        give(block)
    assert allocator.allocated == 0
    if kind in ("upcast_shift", "in_place", "upcast", "compute"):
        assert allocator.most_allocated == pytest.approx(tokens * head.vocab * cell_bytes(head), rel=0.01)


def test_one_row_needs_no_shifted_copy():
    whole = plan("lora", loss_kernel="full", packing=True, max_seq_len=4096, micro_batch_size=1)
    estimator = Estimator(model(LARGE), whole, stacks.MS_SWIFT)
    one, eight = (setting(estimator).play(rows, 4096 // rows).reserved for rows in (1, 8))
    assert one < eight


def test_states_that_take_the_place_of_activations_make_the_second_step_reserve_more():
    full = plan("full", weights_dtype="bf16", **PACKED)
    estimator = Estimator(model(SMALL), full, stacks.HF_TRAINER)
    shares = estimator.estimate(replayed=False).reserved.likely
    assert estimator.estimate().reserved.likely > 1.02 * shares


def test_shorter_batches_before_the_fullest_one_leave_blocks_that_it_cannot_use():
    padded = plan("lora", loss_kernel="full", packing=False, max_seq_len=2048, micro_batch_size=2)
    same, varied = (
        Estimator(model(LARGE), padded, stacks.HF_TRAINER, lengths_vary=vary).estimate().reserved.likely
        for vary in (False, True)
    )
    assert varied > 1.02 * same


@pytest.mark.parametrize(
    ("vary", "accumulates", "lengths"),
    [
        (False, False, [400, 400]),
        (True, False, [320, 400]),
        (True, True, [320, 320, 400, 400]),
    ],
)
def test_two_steps_are_played_and_the_last_is_the_fullest(vary, accumulates, lengths):
    assert lengths_of_batches(400, vary=vary, accumulates=accumulates) == lengths


def test_a_full_card_makes_the_allocator_give_blocks_back():
    whole = plan("lora", loss_kernel="full", **PACKED)
    estimator = Estimator(model(LARGE), whole, stacks.HF_TRAINER)
    roomy = played(estimator)
    tight = played(estimator, roomy.reserved - 64 * MIB)
    assert roomy.releases == 0 < tight.releases
    assert tight.reserved < roomy.reserved


def test_a_run_that_fits_by_giving_blocks_back_is_said_to_fill_the_room():
    whole = plan("lora", loss_kernel="full", **PACKED)

    def estimate(room: int | None):
        return Estimator(model(LARGE), whole, stacks.HF_TRAINER, lengths_vary=False, room_bytes=room).estimate()

    roomy = estimate(None)
    room = int((roomy.allocated.high + 1.35 * (roomy.device.likely - roomy.reserved.likely) + roomy.device.high) / 2)
    tight = estimate(room)
    assert roomy.device.high > room == tight.device.high
    assert sum(tight.peak_parts.values()) == tight.device.likely <= room
    assert any("gives cached blocks back" in note for note in tight.assumptions)
    assert estimate(int(roomy.allocated.likely)).device.high > roomy.allocated.likely


def test_the_likely_figure_is_never_above_a_room_in_which_the_run_plays():
    whole = plan("lora", loss_kernel="full", **PACKED)

    def device(room: int | None):
        return (
            Estimator(model(LARGE), whole, stacks.HF_TRAINER, lengths_vary=False, room_bytes=room).estimate().device
        )

    roomy = device(None)
    room = roomy.likely - 64 * MIB
    assert device(room).likely == room < device(room).high
    assert device(roomy.low // 2) == roomy


@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": False}, {"packing": False}])
def test_what_a_settled_backward_leaves_out_does_not_show(changes, monkeypatch):
    def reserved() -> Replayed:
        replay._PLAYED.clear()
        return played(Estimator(model(SMALL), plan("lora", **PACKED | changes)))

    short = reserved()
    monkeypatch.setattr(program, "SETTLED_AFTER", 1000)
    assert reserved() == short


def test_the_parts_of_the_peak_hold_what_the_replay_reserves():
    estimate = Estimator(model(LARGE), plan("qlora", **PACKED)).estimate()
    assert sum(estimate.peak_parts.values()) == estimate.device.likely
    assert max(instant.reserved_bytes for instant in estimate.timeline) == estimate.reserved.likely
    assert "replay" in estimate.known_by["runtime"]


@pytest.mark.parametrize(
    ("method", "changes", "is_played"),
    [
        ("lora", {}, True),
        ("full", {"sharding": "fsdp", "num_gpus": 2}, True),
        ("lora", {"sharding": "fsdp", "num_gpus": 2}, False),
        ("lora", {"sharding": "zero3", "num_gpus": 2}, False),
        ("lora", {"accelerator": "cpu"}, False),
        ("lora", {"accelerator": "mps"}, False),
    ],
)
def test_a_plan_is_played_where_the_tape_holds_what_decides_its_blocks(method, changes, is_played):
    estimator = Estimator(model(LARGE), plan(method, **changes))
    assert is_replayed(estimator.plan, estimator.stack, estimator.state) is is_played
    shares = estimator.estimate(replayed=False)
    assert (estimator.estimate().reserved == shares.reserved) is not is_played


def test_a_correction_scales_what_moves_alone():
    estimator = Estimator(model(LARGE), plan("lora", **PACKED))
    holding = estimator._holding()
    plain = holding.reserved(2, 2048, 0)
    half = Holding(holding.setting, holding.static, holding.context, 0.5).reserved(2, 2048, 0)
    assert half - holding.static == pytest.approx((plain - holding.static) / 2, rel=0.001)
    assert plain > 15 * GIB


def test_gradients_of_a_size_that_no_model_has_are_played_as_few_tensors():
    """Two sizes of a config may differ by millions."""
    pieces = program._pieces(10**9, 64, [2, 3], [5])
    assert sum(size * times for size, times in pieces.items()) == 10**9
    assert sum(pieces.values()) < 10
    assert program._pieces(1000, 64, [100], [36, 12]) == {64: 1, 100: 9, 36: 1}


def test_offloaded_activations_are_not_held_between_the_passes():
    kept = plan("lora", **PACKED)
    offloaded = msgspec.structs.replace(kept, activation_offload=True)
    held, moved = (played(Estimator(model(LARGE), each)).allocated for each in (kept, offloaded))
    assert moved < held
