"""The verdict on a dataset before any GPU time: what a run would truncate, drop, mask or learn by mistake.

    verdict = check_dataset("chats.jsonl", model, max_seq_len=2048)
    verdict.blocking                      # findings that stop a launch
    verdict.allowing({"truncation"})      # the same, with one of them accepted

Every row is read once, in constant memory (44 bytes a row for repeats); tokens are counted on a random sample and
projected, which `counted_rows` and `is_projected` say.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from advisor.base.language import Later, later
from advisor.data.profile import DatasetProfile, PictureProfile, RowProblem
from trainers.examples.card import Card
from trainers.examples.ledger import Entry
from trainers.examples.tally import Proof

Level = Literal["block", "warn", "note"]
State = Literal["ready", "caution", "blocked"]
"""Blocked by a finding, with warnings, or with neither."""

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
PERSONAL_BLOCKS, PERSONAL_FEW = 0.01, 10

NOT_SHOWN = {
    "calls": later("calls of tools"),
    "parallel-calls": later("several calls in one answer"),
    "tools": later("declarations of tools"),
    "results": later("results of tools"),
    "reasoning": later("thoughts"),
    "words": later("words beside a call of a tool"),
    "system": later("system messages"),
}
"""What rows may hold and a chat template may lack, by the kind that a proof names."""

THRESHOLDS: dict[str, Later] = {
    "broken-rows": Later("more than {share:.0%} of the rows are broken", {"share": BROKEN_BLOCKS}),
    "truncation": Later(
        "more than {examples:.0%} of the examples are cut, or {tokens:.0%} of the tokens",
        {"examples": TRUNCATED_EXAMPLES_BLOCK, "tokens": TRUNCATED_TOKENS_BLOCK},
    ),
    "masked": Later(
        "more than {share:.0%} of the examples have nothing left to learn from", {"share": MASKED_BLOCKS}
    ),
    "unsupervised": Later("less than {share:.0%} of the tokens are trained on", {"share": SUPERVISED_BLOCKS}),
    "no-end-of-turn": Later(
        "less than {share:.0%} of the examples end with a token that stops generation, "
        "and none is known that could be appended",
        {"share": END_OF_TURN_BLOCKS},
    ),
    "template": Later(
        "the chat template refuses more than {share:.0%} of the examples, or their labels cannot be proven",
        {"share": REFUSED_BLOCKS},
    ),
    **{
        f"no-{kind}": Later("any row holds {what}, and the chat template does not show them", {"what": Later(what)})
        for kind, what in NOT_SHOWN.items()
    },
    "foreign-chat": Later("any row of plain text is a chat rendered for another family of models"),
    "foreign-calls": Later("any answer holds a call as words in another form than the model's own"),
    "duplicates": Later("more than {share:.0%} of the examples repeat another", {"share": DUPLICATES_BLOCK}),
    "eval-overlap": Later(
        "more than {share:.0%} of the evaluation examples are trained on", {"share": OVERLAP_BLOCKS}
    ),
    "eval-rows": Later("none of the evaluation rows looked at can be used"),
    "pictures-unseen": Later("any row brings a picture, and the model would see none"),
    "pictures-unread": Later("any row brings a picture, and Pillow is not installed"),
    "pictures-broken": Later(
        "pictures of more than {share:.0%} of the rows that bring some are missing or broken",
        {"share": BROKEN_BLOCKS},
    ),
    "pictures-cut": Later("the sequence length cuts a picture of any row"),
    "unused-content": Later("a column or key that usually carries the task is filled and not used"),
}
"""What blocks of what the counts show; what the words show is added where findings are judged."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about the data: how grave, what, why it matters and what to do."""

    code: str
    """Also the name that `--allow` takes."""
    level: Level
    """block: a launch refuses it unless `--allow` names it; warn; note."""
    what: str
    """What was found, with its figures."""
    why: str = ""
    """What it would do to the run."""
    fix: str = ""
    """What to do: a command, a flag or a change of the data."""
    lines: tuple[int, ...] = ()
    """The first few lines of the file that show it."""
    rows: int = 0
    """Usable rows that show it; 0 where they were not counted."""
    accepted: bool = False
    """It would block, and `--allow` named it."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a rendered example, and whether the loss looks at it."""

    text: str
    """The words, as rendered by the chat template."""
    trained: bool
    """Whether the loss looks at them."""


class ShownRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the model sees it."""

    kind: str
    """What it shows that the rows before it do not: one turn, several turns, with a call, with reasoning."""
    line: int
    """Its line in the file."""
    pieces: tuple[Piece, ...]
    """The rendered row, in order."""


class DataVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. Counts are of all usable examples, projected from the sample where `is_projected` says so."""

    schema: Literal["sft-advisor/data-check/v1"] = "sft-advisor/data-check/v1"
    """Name and version of this document."""
    verdict: State = "ready"
    """ready (exit 0), caution (0; there are warnings) or blocked (2)."""
    profile: DatasetProfile
    """What the dataset is and how long its examples are."""
    max_seq_len: int | None
    """Tokens of a sequence that it was judged for; null where none was named."""
    counted_rows: int
    """Examples tokenised with the model's own tokenizer; 0 without one."""
    is_projected: bool
    """Whether the counts of tokens rest on a sample of the examples."""
    sequences: int | None = None
    """What a run makes of the usable examples: a text longer than max_seq_len becomes several."""
    truncated_examples: int | None = None
    """Examples longer than max_seq_len; null where the length is not known."""
    truncated_tokens: int | None = None
    """Tokens that are cut off for that."""
    dropped_examples: int = 0
    """Broken rows and fully masked ones: a trainer leaves them out."""
    fully_masked: int | None = None
    """Examples in which no token is left to learn; null without the model's own tokenizer."""
    supervised_share: float | None = None
    """Share of all tokens that the loss looks at, 0 to 1; null without the model's own tokenizer."""
    end_of_turn_share: float | None = None
    """Share of untruncated examples whose labels hold a token that stops generation."""
    end_token: str | None = None
    """The tokenizer's end token, which the training process appends where a template leaves none."""
    has_distinct_pad: bool | None = None
    """Whether padding is another token than the end of a turn; null without a tokenizer."""
    has_chat_template: bool | None = None
    """Whether the model brings a chat template; null where that is not known."""
    template_refused: tuple[RowProblem, ...] = ()
    """A few rows that the chat template refuses."""
    first_example: tuple[Piece, ...] = ()
    """The first example as the model sees it."""
    shown_rows: tuple[ShownRow, ...] = ()
    """The first row of each kind."""
    proof: Proof | None = None
    """That what is learnt is what is meant, over the rows tokenised; None without the model's own tokenizer."""
    eval_proof: Proof | None = None
    """The same over the first rows of a named evaluation set."""
    template_card: Card | None = None
    """What the chat template shows, found by rendering through it."""
    duplicate_lines: tuple[tuple[int, int], ...] = ()
    """(line, line of the first) of a few duplicates."""
    eval_examples: int | None = None
    """Examples of the evaluation set; null without one."""
    eval_overlap: int | None = None
    """How many of them are trained on as well."""
    length_histogram: dict[int, int] = {}
    """Upper bound of a bin in tokens -> examples, for a picture: equal bins up to the 99th percentile, then one."""
    doubts: tuple[str, ...] = ()
    """What was guessed or left out when the files were read."""
    excluded: dict[str, int] = {}
    """Why rows are left out by what the data itself says -> how many."""
    pictures: PictureProfile | None = None
    """The pictures that rows bring; null without any."""
    ledger: tuple[Entry, ...] = ()
    """What became of every column, turn and key: learnt, shown, left out on purpose, unused."""
    findings: tuple[Finding, ...] = ()
    """Everything that was found, the gravest first."""

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """What stops a launch."""
        return tuple(finding for finding in self.findings if finding.level == "block")

    def with_findings(self, findings: tuple[Finding, ...]) -> DataVerdict:
        """The same figures with these findings, and the verdict that they make."""
        levels = {finding.level for finding in findings}
        state: State = "blocked" if "block" in levels else "caution" if "warn" in levels else "ready"
        return msgspec.structs.replace(self, findings=findings, verdict=state)

    def allowing(self, accepted: Collection[str]) -> DataVerdict:
        """The same verdict, with these findings (codes, or "all") lowered to warnings that say so."""
        return self.with_findings(
            tuple(
                msgspec.structs.replace(one, level="warn", accepted=True)
                if one.level == "block" and (one.code in accepted or "all" in accepted)
                else one
                for one in self.findings
            )
        )
