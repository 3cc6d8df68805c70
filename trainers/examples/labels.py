"""From a marked text and its tokens to what the loss looks at: the same tokens for the check and for the run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from trainers.examples.proof import Unproven
from trainers.examples.spans import Rendered, Span
from trainers.language import tr


class Labels(NamedTuple):
    """The tokens of one example and those of them that are learnt, before any cut."""

    ids: list[int]
    learnt: list[int]
    """Indices into `ids`, ascending."""
    ends: bool
    """Whether a token that stops generation is learnt last."""
    has_own_end: bool
    """Whether that token stands in the text, and was not put behind it."""


def label(
    rendered: Rendered, ids: Sequence[int], offsets: Sequence[Span], end_ids: Collection[int], eos_id: int | None
) -> Labels:
    """Labels of one example, by the characters [start, end) that each token stands for.

    Where nothing stops the last answer, as in plain text, `eos_id` is put behind it: without that a model would never
    learn to stop. Raises Unproven when an answer has no token of its own.
    """
    learnt = learnt_tokens(rendered.text, offsets, rendered.spans)
    for answer in rendered.answers:
        if not _has_token(offsets, answer.spans):
            raise Unproven(
                "template", tr("no token stands for the answer in message {place}", place=answer.place + 1)
            )
    # Some templates write a line break behind the end token, hence the last few.
    has_own_end = any(ids[index] in end_ids for index in learnt[-3:])
    tokens = list(ids)
    appends = bool(learnt) and not has_own_end and eos_id is not None
    if appends and eos_id is not None:
        learnt.append(len(tokens))
        tokens.append(eos_id)
    return Labels(tokens, learnt, has_own_end or appends, has_own_end)


def learnt_tokens(text: str, offsets: Sequence[Span], spans: Sequence[Span]) -> list[int]:
    """Indices of the tokens that lie in a span.

    A token that begins before a span is learnt when only whitespace of it lies there: tokenizers join a space to the
    word behind it.
    """
    learnt: list[int] = []
    waiting = iter(spans)
    span = next(waiting, None)
    for index, (start, end) in enumerate(offsets):
        while span and start >= span[1]:
            span = next(waiting, None)
        if span and end > span[0] and end > start and (start >= span[0] or not text[start : span[0]].strip()):
            learnt.append(index)
    return learnt


def _has_token(offsets: Sequence[Span], spans: Sequence[Span]) -> bool:
    return any(start < last and end > first for first, last in spans for start, end in offsets if end > start)
