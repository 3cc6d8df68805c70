"""Judges a DataVerdict: which of its figures are findings, how grave, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advisor.data import verdict as v
from advisor.data.content.check import ContentCheck
from advisor.data.content.examiner import counted, percent
from advisor.data.content.registry import EXAMINERS
from advisor.data.content.repeats import LABEL_BLOCKS, REPEATED_BLOCKS
from advisor.data.leaks.finder import Leak
from advisor.data.leaks.personal import CODES as PERSONAL
from advisor.data.leaks.secrets import CODES as SECRETS
from advisor.data.proofs import judge_proof
from advisor.data.unused import judge_unused
from advisor.data.verdict import DataVerdict, Finding, Level

FEW_EXAMPLES = 50
SHOWN_KINDS = 12

BLOCKING: dict[str, str] = {
    **v.THRESHOLDS,
    **{one.code: f"more than {one.blocks_above:.0%} of the rows {one.what}" for one in EXAMINERS if one.blocks_above},
    "repeated-answers": f"one answer stands in more than {REPEATED_BLOCKS:.0%} of the rows",
    "one-answer": f"one short answer stands in {LABEL_BLOCKS:.0%} of the rows",
    **dict.fromkeys(SECRETS, "any row holds one that is no example"),
    **dict.fromkeys(
        PERSONAL, f"it trains in more than {v.PERSONAL_BLOCKS:.0%} of the rows and in over {v.PERSONAL_FEW}"
    ),
}
"""What blocks, by the name that --allow takes."""


def judge(verdict: DataVerdict, content: ContentCheck) -> tuple[Finding, ...]:
    """All findings, the grave ones first."""
    about_content = content.findings()
    leaks, missing = (content.leaks.finish(), content.leaks.missing) if content.leaks else ([], [])
    found = [
        *_rows(verdict),
        *_tokens(verdict),
        *judge_proof(verdict),
        *_template(verdict),
        *_sets(verdict),
        *judge_unused(verdict.ledger, bool(verdict.profile.mapping)),
        *about_content,
        *_leaks(leaks, verdict.profile.num_examples),
        *_not_looked_for([*missing, *content.missing]),
    ]
    order = {"block": 0, "warn": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.level]))


def _rows(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    rows = profile.num_examples + profile.num_broken + profile.num_excluded
    if profile.num_broken:
        share = profile.num_broken / rows
        first_of_kind = {one.kind: one for one in reversed(profile.broken_rows)}
        kinds = sorted(first_of_kind.values(), key=lambda one: one.line)
        shown = "; ".join(f"line {one.line}: {one.what}" for one in kinds[:SHOWN_KINDS])
        yield Finding(
            code="broken-rows",
            level="block" if share > v.BROKEN_BLOCKS else "warn",
            what=f"{profile.num_broken:,} of {rows:,} rows are broken ({percent(share)})",
            why=f"They are left out. {shown}",
            fix="Repair the lines named, or remove them.",
            lines=tuple(one.line for one in profile.broken_rows[:20]),
        )
    if verdict.doubts:
        yield Finding(
            code="read-as",
            level="warn",
            what="; ".join(verdict.doubts),
            why="It is a guess, or leaves something out; look at the first example.",
            fix="Written as a clean file, it is read the same everywhere:",
        )
    if profile.num_excluded:
        yield Finding(
            code="excluded-rows",
            level="note",
            what=f"{profile.num_excluded:,} of {rows:,} rows are left out because the data says so",
            why="; ".join(f"{count:,} rows: {reason}" for reason, count in verdict.excluded.items()) + ".",
        )
    # A text longer than the sequence becomes several examples.
    if max(profile.num_examples, verdict.sequences or 0) < FEW_EXAMPLES:
        yield Finding(
            code="few-examples",
            level="warn",
            what=f"only {profile.num_examples} examples",
            why="A run this small mostly learns a style; held-out figures on so few rows say little.",
            fix="Collect more, or compare with a prompt that holds a few of them.",
        )


def _tokens(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    if verdict.proof is None:
        yield Finding(
            code="not-tokenised",
            level="note",
            what="token figures are estimated from the text",
            why="The model's tokenizer is not at hand, so masks and end tokens could not be checked.",
            fix="Give a local model folder, or download the model's tokenizer once.",
        )
    if verdict.truncated_examples and profile.format == "text":
        yield Finding(
            code="split-texts",
            level="note",
            what=f"{verdict.truncated_examples:,} texts are longer than {verdict.max_seq_len} tokens",
            why="Each is split into several sequences; none of it is lost."
            + (f" The run trains on {verdict.sequences:,} sequences in all." if verdict.sequences else ""),
        )
    elif verdict.truncated_examples and verdict.max_seq_len and verdict.truncated_tokens is not None:
        examples = verdict.truncated_examples / profile.num_examples
        tokens = verdict.truncated_tokens / profile.total_tokens if profile.total_tokens else 0.0
        blocks = examples > v.TRUNCATED_EXAMPLES_BLOCK or tokens > v.TRUNCATED_TOKENS_BLOCK
        grave: Level = "block" if blocks else "warn" if examples > v.TRUNCATED_EXAMPLES_WARN else "note"
        yield Finding(
            code="truncation",
            level=grave,
            what=f"{verdict.truncated_examples:,} examples ({percent(examples)}) are longer than "
            f"{verdict.max_seq_len} tokens and lose {verdict.truncated_tokens:,} of them ({percent(tokens)})",
            why="What is cut is not learnt, and an answer without its end teaches the model not to stop.",
            fix=f"--max-seq-len {_rounded(profile.lengths.p99)} keeps 99 % of them whole, "
            f"{_rounded(profile.lengths.longest)} all.",
        )
    if verdict.fully_masked:
        share = verdict.fully_masked / profile.num_examples
        yield Finding(
            code="masked",
            level="block" if share > v.MASKED_BLOCKS else "warn",
            what=f"{verdict.fully_masked:,} examples ({percent(share)}) have no answer within "
            f"{verdict.max_seq_len} tokens",
            why="Their question alone fills the length: a trainer drops them silently, or shows a loss of 0.",
            fix="Raise --max-seq-len, or shorten the questions.",
        )
    if verdict.supervised_share is not None and verdict.supervised_share < v.SUPERVISED_WARNS:
        blocks = verdict.supervised_share < v.SUPERVISED_BLOCKS
        yield Finding(
            code="unsupervised",
            level="block" if blocks else "warn",
            what=f"{percent(verdict.supervised_share)} of the tokens are trained on",
            why="Nearly all time goes into reading questions.",
            fix="Shorten the context in the questions, or set --loss-on all if it is worth learning.",
        )


def _template(verdict: DataVerdict) -> Iterator[Finding]:
    is_chat = verdict.profile.format != "text"
    if is_chat and verdict.has_chat_template is False:
        yield Finding(
            code="no-template",
            level="note",
            what="the model brings no chat template",
            why="It is a base model: ChatML turns with its own end token are used, and saved with the result.",
        )
    ends = verdict.end_of_turn_share
    if is_chat and ends is not None and ends < 1:
        yield Finding(
            code="no-end-of-turn",
            level="block" if ends < v.END_OF_TURN_BLOCKS and not verdict.end_token else "warn",
            what=f"the template ends only {percent(ends)} of the examples with a token that stops generation",
            why="A model that never sees the end token behind an answer does not learn to stop. "
            + (f"The training process appends {verdict.end_token} to each example." if verdict.end_token else ""),
            fix="Use the chat template of the instruct version, whose turns end with its end token.",
        )
    if verdict.has_distinct_pad is False:
        yield Finding(
            code="pad-is-eos",
            level="note",
            what="the tokenizer has no pad token of its own",
            why="Masking by token id would hide the end token too; our trainer masks by position.",
        )


def _sets(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    share = profile.num_duplicates / profile.num_examples
    if profile.num_duplicates:
        yield Finding(
            code="duplicates",
            level="block" if share > v.DUPLICATES_BLOCK else "warn" if share > v.DUPLICATES_WARN else "note",
            what=f"{profile.num_duplicates:,} examples ({percent(share)}) repeat another word for word",
            why="They count as more epochs on the same rows, and may sit on both sides of a split.",
            fix="Remove them.",
            lines=tuple(line for line, _ in verdict.duplicate_lines),
        )
    if verdict.eval_overlap and verdict.eval_examples:
        overlap = verdict.eval_overlap / verdict.eval_examples
        yield Finding(
            code="eval-overlap",
            level="block" if overlap > v.OVERLAP_BLOCKS else "warn",
            what=f"{verdict.eval_overlap:,} of {verdict.eval_examples:,} evaluation examples are trained on",
            why="Their loss falls without anything being learnt that holds elsewhere.",
            fix="Remove them from the training set.",
        )


def _leaks(leaks: Sequence[Leak], rows: int) -> Iterator[Finding]:
    for leak in leaks:
        many = leak.learnt_rows > max(v.PERSONAL_FEW, v.PERSONAL_BLOCKS * rows)
        learnt = (
            ""
            if leak.is_secret or leak.learnt_rows == leak.rows
            else f", {leak.learnt_rows:,} of them where it trains"
        )
        aside = "; ".join(f"{count:,} {reason}" for reason, count in leak.set_aside.most_common())
        yield Finding(
            code=leak.code,
            level="block" if leak.is_secret or many else "warn",
            what=f"{counted(leak.rows, rows, 'hold')} what looks like: {leak.name}{learnt}, such as {leak.shown}",
            why="A model may repeat it word for word to anyone who asks."
            + (f" Other rows were set aside as harmless: {aside}." if aside else ""),
            fix="Remove or replace it; revoke the secret if it is real."
            if leak.is_secret
            else "Remove or replace it.",
            lines=tuple(leak.lines),
        )


def _not_looked_for(missing: Sequence[str]) -> Iterator[Finding]:
    if missing:
        yield Finding(
            code="not-searched",
            level="note",
            what=f"not every kind of fault was looked for: {' and '.join(missing)} missing",
            fix=f"pip install {' '.join(missing)}",
        )


def _rounded(tokens: int) -> int:
    """The next multiple of 64."""
    return max(64, -(-tokens // 64) * 64)
