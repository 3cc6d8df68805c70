"""The verdict on a dataset before any GPU time: what a run would truncate, drop, mask or learn by mistake.

    verdict = check_dataset("chats.jsonl", model, max_seq_len=2048)
    verdict.blocking                      # findings that stop a launch
    verdict.allowing({"truncation"})      # the same, with one of them accepted

Every row is read once, in constant memory (8 bytes a row for duplicates); tokens are counted on a random sample and
projected, which `counted_rows` and `is_projected` say.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from advisor.data.profile import DatasetProfile, RowProblem

Level = Literal["block", "warn", "note"]

BROKEN_BLOCKS = 0.05
TRUNCATED_EXAMPLES_BLOCK = 0.20
TRUNCATED_EXAMPLES_WARN = 0.01
TRUNCATED_TOKENS_BLOCK = 0.10
MASKED_BLOCKS = 0.01
SUPERVISED_BLOCKS = 0.01
SUPERVISED_WARNS = 0.05
END_OF_TURN_BLOCKS = 0.90
REFUSED_BLOCKS = 0.01
DUPLICATES_BLOCK = 0.50
DUPLICATES_WARN = 0.05
OVERLAP_BLOCKS = 0.01
PERSONAL_BLOCKS = 0.01

THRESHOLDS: dict[str, str] = {
    "broken-rows": f"more than {BROKEN_BLOCKS:.0%} of the rows are broken",
    "truncation": f"more than {TRUNCATED_EXAMPLES_BLOCK:.0%} of the examples are cut, "
    f"or {TRUNCATED_TOKENS_BLOCK:.0%} of the tokens",
    "masked": f"more than {MASKED_BLOCKS:.0%} of the examples have nothing left to learn from",
    "unsupervised": f"less than {SUPERVISED_BLOCKS:.0%} of the tokens are trained on",
    "no-end-of-turn": f"less than {END_OF_TURN_BLOCKS:.0%} of the examples end with a token that stops generation, "
    "and none is known that could be appended",
    "template": f"the chat template refuses more than {REFUSED_BLOCKS:.0%} of the examples",
    "duplicates": f"more than {DUPLICATES_BLOCK:.0%} of the examples repeat another",
    "eval-overlap": f"more than {OVERLAP_BLOCKS:.0%} of the evaluation examples are trained on",
    "secrets": "any row holds a secret",
    "personal-data": f"more than {PERSONAL_BLOCKS:.0%} of the rows hold personal data",
}
"""What blocks, by the name that --allow takes."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about the data: how grave, what, why it matters and what to do."""

    code: str
    """Also the name that `--allow` takes."""
    level: Level
    what: str
    why: str = ""
    fix: str = ""
    lines: tuple[int, ...] = ()


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a rendered example, and whether the loss looks at it."""

    text: str
    trained: bool


class DataVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. Counts are of all usable examples, projected from the sample where `is_projected` says so."""

    profile: DatasetProfile
    max_seq_len: int | None
    counted_rows: int
    """Examples tokenised with the model's own tokenizer; 0 without one."""
    is_projected: bool
    truncated_examples: int | None = None
    truncated_tokens: int | None = None
    dropped_examples: int = 0
    """Broken rows and fully masked ones: a trainer leaves them out."""
    fully_masked: int | None = None
    supervised_share: float | None = None
    end_of_turn_share: float | None = None
    """Share of untruncated examples whose labels hold a token that stops generation."""
    end_token: str | None = None
    """The tokenizer's end token, which the training process appends where a template leaves none."""
    has_distinct_pad: bool | None = None
    has_chat_template: bool | None = None
    template_refused: tuple[RowProblem, ...] = ()
    first_example: tuple[Piece, ...] = ()
    """The first example as the model sees it."""
    duplicate_lines: tuple[tuple[int, int], ...] = ()
    """(line, line of the first) of a few duplicates."""
    eval_examples: int | None = None
    eval_overlap: int | None = None
    length_histogram: dict[int, int] = {}
    """Upper bound of a bin in tokens -> examples, for a picture: equal bins up to the 99th percentile, then one."""
    findings: tuple[Finding, ...] = ()

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """What stops a launch."""
        return tuple(finding for finding in self.findings if finding.level == "block")

    def allowing(self, accepted: Collection[str]) -> DataVerdict:
        """The same verdict, with these findings (codes, or "all") lowered to warnings."""
        lowered = tuple(
            msgspec.structs.replace(one, level="warn")
            if one.level == "block" and (one.code in accepted or "all" in accepted)
            else one
            for one in self.findings
        )
        return msgspec.structs.replace(self, findings=lowered)
