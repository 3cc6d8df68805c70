"""One step as a line through time: what is held at each instant, between the moments that the model works out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from advisor.base.language import tr
from advisor.estimate.moment import Moment
from advisor.estimate.result import Instant

STOPS = 4
"""Instants told of the way through the blocks, in each direction."""


class Step(NamedTuple):
    """The moments of one step that are worked out; between them memory grows and shrinks block by block."""

    begin: Moment
    waiting: Moment
    """Every block has run, the head has not."""
    loss: Moment
    at_head: Moment
    last_block: Moment
    ends: Moment
    step: Moment


def one_step(step: Step, blocks: int, reserved: int | None = None) -> tuple[Instant, ...]:
    """Tensor bytes at each instant, and what the allocator has reserved by then; context and libraries not counted.

    Blocks of one kind cost the same, so that a straight line lies between two moments. `reserved`: what its replay
    holds in the end; from the fullest instant on it holds that.
    """
    line = list(_moments(step, blocks))
    fullest = max(moment.allocated for _, moment in line)
    held, instants = 0, []
    for label, moment in line:
        by_now = moment.reserved
        if reserved is not None:
            by_now = reserved if moment.allocated == fullest else min(by_now, reserved)
        held = max(held, by_now)
        tensors = moment._replace(cached=0, context=0)
        instants.append(Instant(label=label, phase=moment.phase, parts=tensors.shown().parts, reserved_bytes=held))
    return tuple(instants)


def _moments(step: Step, blocks: int) -> Iterator[tuple[str, Moment]]:
    stops = sorted({max(1, blocks * stop // STOPS) for stop in range(1, STOPS + 1)})
    yield tr("step begins"), step.begin
    for block in stops:
        yield (
            tr("forward, block {block} of {blocks}", block=block, blocks=blocks),
            _between(step.begin, step.waiting, block / blocks),
        )
    yield "loss", step.loss
    for block in reversed(stops):
        done = (blocks - block) / (blocks - stops[0]) if blocks > stops[0] else 1.0
        yield (
            tr("backward, block {block} of {blocks}", block=block, blocks=blocks),
            _between(step.at_head, step.last_block, done),
        )
    yield tr("backward ends"), step.ends
    yield tr("optimizer step"), step.step
    yield tr("step ends"), step.begin


def _between(start: Moment, end: Moment, share: float) -> Moment:
    """The moment at this share of the way: the parts lie on straight lines."""
    parts = [a + int((b - a) * share) for a, b in zip(start[1:], end[1:], strict=True)]
    return Moment(end.phase, *parts)
