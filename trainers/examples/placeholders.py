"""Which message each stretch of a text was written for, where the template hides it by building messages of its own.

Some templates join turns or copy messages before they write them, and then no loop is at a message of ours. Two ways
are left: the `{% generation %}` blocks of the template, in the order of the answers; or the unique words of `proof`:
what stands between two of them is the template's own text, and belongs to the turn that it opens or closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from trainers.examples.proof import Unproven, Word, places
from trainers.examples.reasoning import TAGS
from trainers.examples.template import NOBODY, Message, Piece, Trace
from trainers.language import tr


def is_traced(trace: Trace, messages: Sequence[Message]) -> bool:
    """Whether the template was at each answer when it wrote."""
    return all(trace.of(place) for place, message in enumerate(messages) if message["role"] == "assistant")


def by_blocks(trace: Trace, answers: Sequence[int]) -> Trace | None:
    """The trace with each `{% generation %}` block given to its answer; None unless there is one for each."""
    blocks = [piece for piece in trace.pieces if piece.is_generated and piece.end > piece.start]
    if len(blocks) != len(answers):
        return None
    turns = {block.start: place for block, place in zip(blocks, answers, strict=True)}
    return Trace(
        trace.text,
        tuple(
            piece._replace(turn=turns.get(piece.start, NOBODY) if piece.is_generated else NOBODY)
            for piece in trace.pieces
        ),
    )


def by_words(
    trace: Trace, words: Sequence[Word], answers: Sequence[int], opening: str, end_tokens: Sequence[str]
) -> Trace:
    """A trace of unique words, with the text between two words given to the turn that it opens or closes.

    Raises Unproven when an answer has no word, or a word is not written exactly once, in order.
    """
    starts: list[int] = []
    for word in words:
        found = list(places(trace.text, word.text))
        _require_once_in_order(found, starts, word.place + 1)
        starts.append(found[0])
    if set(answers) - {word.place for word in words}:
        raise Unproven("template", tr("the chat template builds its own messages, and an answer is empty"))
    cuts = [(0, words[0].place if opening in trace.text[: starts[0]] else NOBODY)]
    for (start, word), (following, following_word) in pairwise(zip(starts, words, strict=True)):
        if word.place == following_word.place:
            continue
        end = start + len(word.text)
        if word.place in answers:
            end = _behind_end(trace.text, end, following, end_tokens)
            cuts.append((end, NOBODY))
        opened = trace.text.rfind(opening, end, following) if opening else -1
        begins = opened if opened >= 0 else following - len(_written_in_front(trace.text[end:following]))
        cuts.append((begins if following_word.place in answers else end, following_word.place))
    last = starts[-1] + len(words[-1].text)
    if words[-1].place in answers:
        cuts.append((_behind_end(trace.text, last, len(trace.text), end_tokens), NOBODY))
    bounds = [*cuts, (len(trace.text), NOBODY)]
    return Trace(trace.text, tuple(Piece(a, b, turn, False) for (a, turn), (b, _) in pairwise(bounds) if b > a))


def _require_once_in_order(found: Sequence[int], before: Sequence[int], number: int) -> None:
    """Raises Unproven unless the words of that message stand in one place, behind those `before`."""
    if not found:
        raise Unproven("template", tr("the chat template leaves out the words of message {place}", place=number))
    if len(found) > 1:
        raise Unproven("template", tr("the chat template repeats the words of message {place}", place=number))
    if before and found[0] < before[-1]:
        raise Unproven("template", tr("the chat template moves the words of message {place}", place=number))


def carried(shape: Trace, words: Sequence[Word], text: str) -> Trace:
    """The trace of a shape, carried over to the text with the real words in place of the unique ones.

    Raises Unproven when that is not the text which the template wrote.
    """
    moved = {}
    written: list[str] = []
    at = 0
    bounds = sorted({bound for piece in shape.pieces for bound in piece[:2]})
    starts = {next(places(shape.text, word.text)): word for word in words}
    size = 0
    stops = sorted({*bounds, *starts, *(start + len(word.text) for start, word in starts.items())})
    for stop, following in pairwise([*stops, len(shape.text)]):
        moved[stop] = size
        piece = starts[stop].value if stop in starts else shape.text[stop:following]
        written.append(piece)
        size += len(piece)
        at = following
    moved[at] = size
    if "".join(written) != text:
        raise Unproven("template", tr("the chat template builds its own messages, and changes their words"))
    return Trace(
        text, tuple(piece._replace(start=moved[piece.start], end=moved[piece.end]) for piece in shape.pieces)
    )


def _written_in_front(gap: str) -> str:
    """The mark of reasoning that is not the template's but ours, where a gap ends with it."""
    mark = f"{TAGS[0]}\n"
    return mark if gap.endswith(mark) else ""


def _behind_end(text: str, start: int, limit: int, end_tokens: Sequence[str]) -> int:
    """The place behind the first end token in a stretch, else its start."""
    found = [(text.find(token, start, limit), token) for token in end_tokens]
    ends = [place + len(token) for place, token in found if place >= 0]
    return min(ends, default=start)
