"""One conversation as several examples, each of which ends where a template still shows the reasoning.

Many templates show the reasoning of the last round only: of what comes behind the last question. So each round with
reasoning ends an example of its own, in which what was learnt before is shown and no longer learnt.
"""

from __future__ import annotations

import msgspec

from trainers.examples.example import Example
from trainers.examples.reasoning import apart


def by_round(example: Example) -> list[Example]:
    """The example cut behind each round with reasoning; every answer is learnt in one of them, once.

    The example itself where only its last round has reasoning, or none has.
    """
    messages = example.messages
    starts = [place for place, message in enumerate(messages) if message["role"] == "user" and place]
    ends = [*starts, len(messages)]
    thinking = [place for place, message in enumerate(messages) if apart(message).get("reasoning_content")]
    cuts = [end for start, end in zip([0, *ends], ends, strict=False) if any(start <= one < end for one in thinking)]
    if not cuts or cuts == ends[-1:]:
        return [example]
    made, done = [], 0
    for end in sorted({*cuts, ends[-1]}):
        before = {place for place in range(done) if messages[place]["role"] == "assistant"}
        kept = {place for place in example.unlearnt if place < end} | before
        own = [place for place in range(done, end) if messages[place]["role"] == "assistant"]
        if set(own) - kept:
            made.append(msgspec.structs.replace(example, messages=messages[:end], unlearnt=frozenset(kept)))
        done = end
    return made or [example]
