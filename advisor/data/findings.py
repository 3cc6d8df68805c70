"""Judges a DataVerdict: which of its figures are findings, how grave, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advisor.base.language import Later, tr
from advisor.data import verdict as v
from advisor.data.content.check import ContentCheck
from advisor.data.content.examiner import counted, percent, rows_said
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

BLOCKING: dict[str, Later] = {
    **v.THRESHOLDS,
    **{
        one.code: Later(
            "more than {share:.0%} of the rows {what}", {"share": one.blocks_above, "what": Later(one.what)}
        )
        for one in EXAMINERS
        if one.blocks_above
    },
    "repeated-answers": Later("one answer stands in more than {share:.0%} of the rows", {"share": REPEATED_BLOCKS}),
    "one-answer": Later("one short answer stands in {share:.0%} of the rows", {"share": LABEL_BLOCKS}),
    **dict.fromkeys(SECRETS, Later("any row holds one that is no example")),
    **dict.fromkeys(
        PERSONAL,
        Later(
            "it trains in more than {share:.0%} of the rows and in over {few}",
            {"share": v.PERSONAL_BLOCKS, "few": v.PERSONAL_FEW},
        ),
    ),
}
"""What blocks, by the name that --allow takes."""


def judge(verdict: DataVerdict, content: ContentCheck, harmless: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """All findings, the grave ones first; `harmless` are columns with which nothing is lost."""
    about_content = content.findings()
    leaks, missing = (content.leaks.finish(), content.leaks.missing) if content.leaks else ([], [])
    found = [
        *_rows(verdict),
        *_tokens(verdict),
        *judge_proof(verdict),
        *_template(verdict),
        *_sets(verdict),
        *judge_unused(verdict.ledger, bool(verdict.profile.mapping), harmless),
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
        shown = tr("; ").join(tr("line {line}: {what}", line=one.line, what=one.what) for one in kinds[:SHOWN_KINDS])
        yield Finding(
            code="broken-rows",
            level="block" if share > v.BROKEN_BLOCKS else "warn",
            what=(
                tr("1 of {rows:,} rows is broken ({share})", rows=rows, share=percent(share))
                if profile.num_broken == 1
                else tr(
                    "{num_broken:,} of {rows:,} rows are broken ({share})",
                    num_broken=profile.num_broken,
                    rows=rows,
                    share=percent(share),
                )
            ),
            why=tr("They are left out. {shown}", shown=shown),
            fix=tr("Repair the lines named, or remove them."),
            lines=tuple(one.line for one in profile.broken_rows[:20]),
        )
    if verdict.doubts:
        yield Finding(
            code="read-as",
            level="warn",
            what=tr("; ").join(verdict.doubts),
            why=tr("It is a guess, or leaves something out; look at the first example."),
            fix=tr("Written as a clean file, it is read the same everywhere:"),
        )
    if profile.num_excluded:
        yield Finding(
            code="excluded-rows",
            level="note",
            what=tr(
                "{num_excluded:,} of {rows:,} rows are left out because the data says so",
                num_excluded=profile.num_excluded,
                rows=rows,
            ),
            why=tr("; ").join(
                tr("{rows}: {reason}", rows=rows_said(count), reason=reason)
                for reason, count in verdict.excluded.items()
            )
            + tr("."),
        )
    # A text longer than the sequence becomes several examples.
    if max(profile.num_examples, verdict.sequences or 0) < FEW_EXAMPLES:
        yield Finding(
            code="few-examples",
            level="warn",
            what=tr("only {num_examples} examples", num_examples=profile.num_examples),
            why=tr("A run this small mostly learns a style; held-out figures on so few rows say little."),
            fix=tr("Collect more, or compare with a prompt that holds a few of them."),
        )


def _tokens(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    if verdict.proof is None:
        yield Finding(
            code="not-tokenised",
            level="note",
            what=tr("token figures are estimated from the text"),
            why=tr("The model's tokenizer is not at hand, so masks and end tokens could not be checked."),
            fix=tr("Give a local model folder, or download the model's tokenizer once."),
        )
    if verdict.truncated_examples and profile.format == "text":
        yield Finding(
            code="split-texts",
            level="note",
            what=tr(
                "{truncated_examples:,} texts are longer than {max_seq_len} tokens",
                truncated_examples=verdict.truncated_examples,
                max_seq_len=verdict.max_seq_len,
            ),
            why=tr("Each is split into several sequences; none of it is lost.")
            + (
                tr(" The run trains on {sequences:,} sequences in all.", sequences=verdict.sequences)
                if verdict.sequences
                else ""
            ),
        )
    elif verdict.truncated_examples and verdict.max_seq_len and verdict.truncated_tokens is not None:
        examples = verdict.truncated_examples / profile.num_examples
        tokens = verdict.truncated_tokens / profile.total_tokens if profile.total_tokens else 0.0
        blocks = examples > v.TRUNCATED_EXAMPLES_BLOCK or tokens > v.TRUNCATED_TOKENS_BLOCK
        grave: Level = "block" if blocks else "warn" if examples > v.TRUNCATED_EXAMPLES_WARN else "note"
        yield Finding(
            code="truncation",
            level=grave,
            what=tr(
                "{truncated_examples:,} examples ({examples}) are longer than {max_seq_len} tokens "
                "and lose {truncated_tokens:,} of them ({tokens})",
                truncated_examples=verdict.truncated_examples,
                examples=percent(examples),
                max_seq_len=verdict.max_seq_len,
                truncated_tokens=verdict.truncated_tokens,
                tokens=percent(tokens),
            ),
            why=tr("What is cut is not learnt, and an answer without its end teaches the model not to stop."),
            fix=tr(
                "--max-seq-len {most} keeps 99 % of them whole, {longest} all.",
                most=_rounded(profile.lengths.p99),
                longest=_rounded(profile.lengths.longest),
            ),
        )
    if verdict.fully_masked:
        share = verdict.fully_masked / profile.num_examples
        yield Finding(
            code="masked",
            level="block" if share > v.MASKED_BLOCKS else "warn",
            what=tr(
                "{fully_masked:,} examples ({share}) have no answer within {max_seq_len} tokens",
                fully_masked=verdict.fully_masked,
                share=percent(share),
                max_seq_len=verdict.max_seq_len,
            ),
            why=tr("Their question alone fills the length: a trainer drops them silently, or shows a loss of 0."),
            fix=tr("Raise --max-seq-len, or shorten the questions."),
        )
    if verdict.supervised_share is not None and verdict.supervised_share < v.SUPERVISED_WARNS:
        blocks = verdict.supervised_share < v.SUPERVISED_BLOCKS
        yield Finding(
            code="unsupervised",
            level="block" if blocks else "warn",
            what=tr(
                "{supervised_share} of the tokens are trained on", supervised_share=percent(verdict.supervised_share)
            ),
            why=tr("Nearly all time goes into reading questions."),
            fix=tr("Shorten the context in the questions, or set --loss-on all if it is worth learning."),
        )


def _template(verdict: DataVerdict) -> Iterator[Finding]:
    is_chat = verdict.profile.format != "text"
    if is_chat and verdict.has_chat_template is False:
        yield Finding(
            code="no-template",
            level="note",
            what=tr("the model brings no chat template"),
            why=tr("It is a base model: ChatML turns with its own end token are used, and saved with the result."),
        )
    ends = verdict.end_of_turn_share
    if is_chat and ends is not None and ends < 1:
        yield Finding(
            code="no-end-of-turn",
            level="block" if ends < v.END_OF_TURN_BLOCKS and not verdict.end_token else "warn",
            what=tr(
                "the template ends only {ends} of the examples with a token that stops generation", ends=percent(ends)
            ),
            why=tr("A model that never sees the end token behind an answer does not learn to stop. ")
            + (
                tr("The training process appends {end_token} to each example.", end_token=verdict.end_token)
                if verdict.end_token
                else ""
            ),
            fix=tr("Use the chat template of the instruct version, whose turns end with its end token."),
        )
    if verdict.has_distinct_pad is False:
        yield Finding(
            code="pad-is-eos",
            level="note",
            what=tr("the tokenizer has no pad token of its own"),
            why=tr("Masking by token id would hide the end token too; our trainer masks by position."),
        )


def _sets(verdict: DataVerdict) -> Iterator[Finding]:
    profile = verdict.profile
    share = profile.num_duplicates / profile.num_examples
    if profile.num_duplicates:
        yield Finding(
            code="duplicates",
            level="block" if share > v.DUPLICATES_BLOCK else "warn" if share > v.DUPLICATES_WARN else "note",
            what=tr(
                "{num_duplicates:,} examples ({share}) repeat another word for word",
                num_duplicates=profile.num_duplicates,
                share=percent(share),
            ),
            why=tr("They count as more epochs on the same rows, and may sit on both sides of a split."),
            fix=tr("Remove them."),
            lines=tuple(line for line, _ in verdict.duplicate_lines),
        )
    if verdict.eval_overlap and verdict.eval_examples:
        overlap = verdict.eval_overlap / verdict.eval_examples
        yield Finding(
            code="eval-overlap",
            level="block" if overlap > v.OVERLAP_BLOCKS else "warn",
            what=tr(
                "{eval_overlap:,} of {eval_examples:,} evaluation examples are trained on",
                eval_overlap=verdict.eval_overlap,
                eval_examples=verdict.eval_examples,
            ),
            why=tr("Their loss falls without anything being learnt that holds elsewhere."),
            fix=tr("Remove them from the training set."),
        )


def _leaks(leaks: Sequence[Leak], rows: int) -> Iterator[Finding]:
    for leak in leaks:
        many = leak.learnt_rows > max(v.PERSONAL_FEW, v.PERSONAL_BLOCKS * rows)
        learnt = (
            ""
            if leak.is_secret or leak.learnt_rows == leak.rows
            else tr(", {learnt_rows:,} of them where it trains", learnt_rows=leak.learnt_rows)
        )
        aside = tr("; ").join(f"{count:,} {reason}" for reason, count in leak.set_aside.most_common())
        yield Finding(
            code=leak.code,
            level="block" if leak.is_secret or many else "warn",
            what=tr(
                "{counted} what looks like: {name}{learnt}, such as {shown}",
                counted=counted(leak.rows, rows, tr("hold")),
                name=leak.name,
                learnt=learnt,
                shown=leak.shown,
            ),
            why=tr("A model may repeat it word for word to anyone who asks.")
            + (tr(" Other rows were set aside as harmless: {aside}.", aside=aside) if aside else ""),
            fix=(
                tr("Remove or replace it; revoke the secret if it is real.")
                if leak.is_secret
                else tr("Remove or replace it.")
            ),
            lines=tuple(leak.lines),
        )


def _not_looked_for(missing: Sequence[str]) -> Iterator[Finding]:
    if missing:
        yield Finding(
            code="not-searched",
            level="note",
            what=tr("not every kind of fault was looked for: {missing} missing", missing=tr(" and ").join(missing)),
            fix=f"pip install {' '.join(missing)}",
        )


def _rounded(tokens: int) -> int:
    """The next multiple of 64."""
    return max(64, -(-tokens // 64) * 64)
