"""Answers that end in the middle of a sentence because whoever made them had reached a limit.

One answer without a full stop says nothing: lists, titles and code end so. Many that are exactly as long as the
longest and end in the middle of a word or a sentence were cut there; so were the longest, where nearly half of them
end so and nearly none of the others do.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator

from advisor.base.language import tr
from advisor.data.content.examiner import SHOWN_LINES, counted
from advisor.data.verdict import Finding
from trainers.examples.example import Example

SHORTEST_CHARACTERS = 200
"""A shorter answer may be a label or a title."""
FEWEST = 10
SAME_LENGTH_SHARE = 0.01
LONGEST_SHARES = (0.4, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Shares of the longest answers, which are held against the others."""
CUT_AMONG_LONGEST, CUT_AMONG_OTHERS = 0.40, 0.05
FEWEST_COMPARED = 200
_GOES_ON = ",;:-–(、，；："


class Cuts:
    """Collects how long each row's last answer is and whether it ends; 13 bytes a row."""

    def __init__(self) -> None:
        self._lines, self._lengths, self._open = array("Q"), array("I"), bytearray()

    def add(self, line: int, example: Example) -> None:
        """One row."""
        last = example.messages[-1] if example.messages else None
        if last is None or last["role"] != "assistant" or last.get("tool_calls"):
            return
        content = last["content"]
        if len(content) < SHORTEST_CHARACTERS:
            return
        text = content.rstrip()
        if len(text) >= SHORTEST_CHARACTERS:
            self._lines.append(line)
            self._lengths.append(len(content))
            self._open.append(text[-1].isalnum() or text[-1] in _GOES_ON)

    def findings(self, rows: int) -> Iterator[Finding]:
        """The finding about all rows, where there is one."""
        cut = self._of_one_length(rows) or self._among_the_longest()
        if not cut:
            return
        lines = [self._lines[place] for place in cut]
        longest = max(self._lengths[place] for place in cut)
        yield Finding(
            code="cut-answers",
            level="warn",
            what=counted(
                len(lines),
                rows,
                tr("end in the middle of a sentence, at up to {longest:,} characters", longest=longest),
            ),
            why=tr(
                "The answers look cut by the limit of whatever wrote them: the model learns to stop in the middle."
            ),
            fix=tr("Make these answers again with a higher limit, or leave the rows out."),
            lines=tuple(lines[:SHOWN_LINES]),
        )

    def _of_one_length(self, rows: int) -> list[int]:
        """Places of answers that have the length of the longest one and do not end."""
        if not self._lengths:
            return []
        number = Counter(self._lengths)
        longest = max(number)
        # Trailing whitespace that was stripped makes a cut answer a little shorter than the limit.
        place_of = [place for place, size in enumerate(self._lengths) if size >= longest - 1 and self._open[place]]
        whole = number[longest] + number[longest - 1]
        is_enough = len(place_of) >= max(FEWEST, SAME_LENGTH_SHARE * rows)
        return place_of if is_enough and len(place_of) >= whole / 2 else []

    def _among_the_longest(self) -> list[int]:
        """Places of the longest answers that do not end, where the others nearly all do."""
        total = len(self._lengths)
        if total < FEWEST_COMPARED:
            return []
        by_length = sorted(range(total), key=self._lengths.__getitem__)
        open_in_all = sum(self._open)
        for share in LONGEST_SHARES:
            longest = by_length[int(total * (1 - share)) :]
            cut = [place for place in longest if self._open[place]]
            others = total - len(longest)
            if len(cut) > CUT_AMONG_LONGEST * len(longest) and open_in_all - len(cut) < CUT_AMONG_OTHERS * others:
                return sorted(cut)
        return []
