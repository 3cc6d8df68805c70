"""Judges a DataVerdict: which of its figures are findings, how grave, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advisor.data import verdict as v
from advisor.data.leaks import Leak
from advisor.data.verdict import DataVerdict, Finding, Level

FEW_EXAMPLES = 50
SHOWN_KINDS = 12


def judge(verdict: DataVerdict, leaks: Sequence[Leak], missing: Sequence[str], refused: int) -> tuple[Finding, ...]:
    """All findings, the grave ones first."""
    found = [
        *_rows(verdict),
        *_tokens(verdict),
        *_template(verdict, refused),
        *_sets(verdict),
        *_leaks(verdict, leaks, missing),
    ]
    order = {"block": 0, "warn": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.level]))


def _rows(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    rows = profile.num_examples + profile.num_broken
    if profile.num_broken:
        share = profile.num_broken / rows
        first_of_kind = {one.kind: one for one in reversed(profile.broken_rows)}
        kinds = sorted(first_of_kind.values(), key=lambda one: one.line)
        shown = "; ".join(f"line {one.line}: {one.what}" for one in kinds[:SHOWN_KINDS])
        yield Finding(
            code="broken-rows",
            level="block" if share > v.BROKEN_BLOCKS else "warn",
            what=f"{profile.num_broken:,} of {rows:,} rows are broken ({_percent(share)})",
            why=f"They are left out. {shown}",
            fix="Repair the lines named, or remove them.",
            lines=tuple(one.line for one in profile.broken_rows[:20]),
        )
    if profile.num_examples < FEW_EXAMPLES:
        yield Finding(
            code="few-examples",
            level="warn",
            what=f"only {profile.num_examples} examples",
            why="A run this small mostly learns a style; held-out figures on so few rows say little.",
            fix="Collect more, or compare with a prompt that holds a few of them.",
        )


def _tokens(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    if verdict.counted_rows == 0:
        yield Finding(
            code="not-tokenised",
            level="note",
            what="token figures are estimated from the text",
            why="The model's tokenizer is not at hand, so masks and end tokens could not be checked.",
            fix="Give a local model folder, or download the model's tokenizer once.",
        )
    if verdict.truncated_examples and verdict.max_seq_len and verdict.truncated_tokens is not None:
        examples = verdict.truncated_examples / profile.num_examples
        tokens = verdict.truncated_tokens / profile.total_tokens if profile.total_tokens else 0.0
        blocks = examples > v.TRUNCATED_EXAMPLES_BLOCK or tokens > v.TRUNCATED_TOKENS_BLOCK
        grave: Level = "block" if blocks else "warn" if examples > v.TRUNCATED_EXAMPLES_WARN else "note"
        yield Finding(
            code="truncation",
            level=grave,
            what=f"{verdict.truncated_examples:,} examples ({_percent(examples)}) are longer than "
            f"{verdict.max_seq_len} tokens and lose {verdict.truncated_tokens:,} of them ({_percent(tokens)})",
            why="What is cut is not learnt, and an answer without its end teaches the model not to stop.",
            fix=f"--max-seq-len {_rounded(profile.lengths.p99)} keeps 99 % of them whole, "
            f"{_rounded(profile.lengths.longest)} all.",
        )
    if verdict.fully_masked:
        share = verdict.fully_masked / profile.num_examples
        yield Finding(
            code="masked",
            level="block" if share > v.MASKED_BLOCKS else "warn",
            what=f"{verdict.fully_masked:,} examples ({_percent(share)}) have no answer within "
            f"{verdict.max_seq_len} tokens",
            why="Their question alone fills the length: a trainer drops them without a word, or shows a loss of 0.",
            fix="Raise --max-seq-len, or shorten the questions.",
        )
    if verdict.supervised_share is not None and verdict.supervised_share < v.SUPERVISED_WARNS:
        blocks = verdict.supervised_share < v.SUPERVISED_BLOCKS
        yield Finding(
            code="unsupervised",
            level="block" if blocks else "warn",
            what=f"{_percent(verdict.supervised_share)} of the tokens are trained on",
            why="Nearly all time goes into reading questions.",
            fix="Shorten the context in the questions, or set --loss-on all if it is worth learning.",
        )


def _template(verdict: DataVerdict, refused: int) -> Iterator[Finding]:
    is_chat = verdict.profile.format != "text"
    if refused:
        looked_at = refused + verdict.counted_rows
        first = verdict.template_refused[0]
        yield Finding(
            code="template",
            level="block" if refused / looked_at > v.REFUSED_BLOCKS else "warn",
            what=f"the chat template refuses {refused:,} of {looked_at:,} examples",
            why=f"line {first.line}: {first.what}",
            fix="Bring the roles into the order that the template asks for, or give another template.",
            lines=tuple(one.line for one in verdict.template_refused),
        )
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
            what=f"the template ends only {_percent(ends)} of the examples with a token that stops generation",
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
            what=f"{profile.num_duplicates:,} examples ({_percent(share)}) repeat another word for word",
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


def _leaks(verdict: DataVerdict, leaks: Sequence[Leak], missing: Sequence[str]) -> Iterator[Finding]:
    rows = verdict.profile.num_examples
    for leak in leaks:
        share = leak.rows / rows
        grave: Level = "block" if leak.is_secret or share > v.PERSONAL_BLOCKS else "warn"
        yield Finding(
            code="secrets" if leak.is_secret else "personal-data",
            level=grave,
            what=f"{leak.rows:,} rows hold what looks like: {leak.kind}",
            why="A model may repeat it word for word to anyone who asks.",
            fix="Remove or replace it; revoke the secret if it is real."
            if leak.is_secret
            else "Remove or replace it.",
            lines=leak.lines,
        )
    if missing:
        yield Finding(
            code="not-searched",
            level="note",
            what=f"not every kind of secret and personal data was looked for: {' and '.join(missing)} missing",
            fix=f"pip install {' '.join(missing)}",
        )


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share >= 0.001 or share == 0 else "under 0.1 %"


def _rounded(tokens: int) -> int:
    """The next multiple of 64."""
    return max(64, -(-tokens // 64) * 64)
