"""What the proof of the labels says to a person: rows of each kind as the model sees them, and findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advisor.base.language import later, tr
from advisor.data import verdict as v
from advisor.data.sampling import Sampled
from advisor.data.verdict import DataVerdict, Finding, Piece, ShownRow
from trainers.examples.card import Card
from trainers.examples.example import Example, RowError
from trainers.examples.parsers import parser_of
from trainers.examples.rendered import dialect_of
from trainers.examples.spans import Marker, Rendered
from trainers.examples.tally import REFUSED, Proof
from trainers.examples.written_calls import form_of, has_written_call


def shown_rows(sample: Sequence[Sampled], marker: Marker) -> tuple[ShownRow, ...]:
    """The first row of each kind that the sample holds, as the model sees it, with what is learnt apart."""
    found: dict[str, ShownRow] = {}
    for kept in sorted(sample, key=lambda one: one.line):
        kinds = [kind for kind in _kinds(kept.example) if kind not in found]
        if not kinds:
            continue
        try:
            rendered = marker.mark(kept.example)
        except RowError:
            continue
        found[kinds[0]] = ShownRow(kind=kinds[0], line=kept.line, pieces=_pieces(rendered))
    return tuple(found.values())


def _kinds(example: Example) -> Iterator[str]:
    """What a row shows, the rarest first."""
    if not example.messages:
        yield later("plain text")
        return
    calls = any(message.get("tool_calls") for message in example.messages)
    thinks = any(message.get("reasoning_content") or "</think>" in message["content"] for message in example.messages)
    if calls:
        yield later("with a call")
    if thinks:
        yield later("with reasoning")
    if example.num_answers > 1:
        yield later("several turns")
    elif not calls and not thinks:
        yield later("one turn")


def _pieces(rendered: Rendered) -> tuple[Piece, ...]:
    pieces, at = [], 0
    for start, end in rendered.spans:
        pieces += [
            Piece(text=rendered.text[at:start], trained=False),
            Piece(text=rendered.text[start:end], trained=True),
        ]
        at = end
    pieces.append(Piece(text=rendered.text[at:], trained=False))
    return tuple(piece for piece in pieces if piece.text)


def shows_names(marker: Marker) -> bool:
    """Whether the chat template shows what a user is called (the key `name` of a turn)."""
    asked = {"role": "user", "name": "Quillfeather", "content": "Q"}
    try:
        return "Quillfeather" in marker.mark(Example((asked, {"role": "assistant", "content": "A"}))).text
    except RowError:
        return False


def judge_foreign_chats(sample: Sequence[Sampled], marker: Marker) -> Iterator[Finding]:
    """Chats in rows of plain text that were rendered for another family than the model's."""
    found = [(kept.line, dialect) for kept in sample if (dialect := dialect_of(kept.example.text))]
    if not found:
        return
    exchange = ({"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"})
    try:
        own = dialect_of(marker.mark(Example(exchange)).text)
    except RowError:
        return
    foreign = [(line, dialect.family) for line, dialect in found if own is None or dialect.family != own.family]
    if foreign:
        yield Finding(
            code="foreign-chat",
            level="block",
            what=tr(
                "{num_foreign:,} of {num_sample:,} rows looked at are chats rendered for {foreign}, "
                "which is not how this model is spoken to",
                num_foreign=len(foreign),
                num_sample=len(sample),
                foreign=foreign[0][1],
            ),
            why=tr("Its tokenizer has no such marks: they would be learnt as letters, and are never met in serving."),
            fix=tr("Give the turns as messages:"),
            lines=tuple(line for line, _ in foreign[:20]),
        )


def judge_foreign_calls(sample: Sequence[Sampled], marker: Marker) -> Iterator[Finding]:
    """Calls among the words of answers in another form than the one that the model's template writes."""
    written = [
        (kept.line, form_of(message))
        for kept in sample
        for message in kept.example.messages
        if has_written_call(message)
    ]
    own = _own_form(marker) if written else ""
    foreign = [line for line, form in written if form != own or not form]
    if foreign:
        yield Finding(
            code="foreign-calls",
            level="block",
            what=tr(
                "{num_foreign:,} answers looked at hold a call as words, in another form than the model's own",
                num_foreign=len(foreign),
            ),
            why=(
                tr("The parser that serves this model ({own}) never finds such a call.", own=own)
                if own
                else tr("The model's chat template shows no calls, and no parser of a server is meant for it.")
            ),
            fix=tr("Write it as tool_calls of the message; the model's own template then gives it the right form."),
            lines=tuple(dict.fromkeys(foreign))[:20],
        )


def _own_form(marker: Marker) -> str:
    """The parser that finds the calls which this template writes; "" where it shows none."""
    call = {"type": "function", "function": {"name": "find", "arguments": {"item": "lamp"}}}
    asked, calling = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "", "tool_calls": [call]}
    try:
        rendered = marker.mark(Example((asked, calling)))
    except RowError:
        return ""
    form = parser_of(rendered.words(rendered.answers[0]), rendered.answers[0].calls) if rendered.answers else None
    return form.parser if form else ""


def judge_proof(verdict: DataVerdict) -> Iterator[Finding]:
    """What stands in the way of the proof, and what a proven row still does not learn."""
    proof = verdict.proof
    if proof is None:
        return
    for kind, what in v.NOT_SHOWN.items():
        if rows := proof.unproven.get(kind):
            yield Finding(
                code=f"no-{kind}",
                level="block",
                what=tr(
                    "the chat template does not show {what}, which {rows:,} of {all_rows:,} rows hold",
                    what=tr(what),
                    rows=rows,
                    all_rows=proof.rows,
                ),
                why=tr("A model that never sees them does not learn them; these rows are left out."),
                fix=_sentence(proof.way_out(kind)),
                lines=tuple(proof.unproven_lines[kind]),
            )
    yield from _refused(proof)
    if nobody := proof.parsers.get("none"):
        yield Finding(
            code="unparsed-calls",
            level="warn",
            what=tr(
                "{nobody:,} answers call a tool in a form that no parser of a serving engine finds", nobody=nobody
            ),
            why=tr("The served model's calls would stay text."),
            fix=tr("Use the chat template that the model was published with."),
        )
    yield from _reasoning(proof, verdict.template_card)


def _refused(proof: Proof) -> Iterator[Finding]:
    """Rows that the template refuses, and rows whose words it changes. What the data itself has wrong (calls,
    reasoning) is found by the examiners of content.
    """
    said = {
        REFUSED: tr("the chat template refuses {rows:,} of {all_rows:,} examples"),
        "template": tr("the labels cannot be proven under this template in {rows:,} of {all_rows:,} examples"),
    }
    for kind, what in said.items():
        if rows := proof.unproven.get(kind):
            yield Finding(
                code="template",
                level="block" if rows / proof.rows > v.REFUSED_BLOCKS else "warn",
                what=what.format(rows=rows, all_rows=proof.rows),
                why=proof.reasons[kind],
                fix=_sentence(proof.way_out(kind)),
                lines=tuple(proof.unproven_lines[kind]),
            )


def _reasoning(proof: Proof, card: Card | None) -> Iterator[Finding]:
    """Reasoning that the template drops, and reasoning that only some answers have."""
    if proof.without_reasoning:
        is_all = proof.loss_on == "all"
        sentence = (
            tr(
                "{answers:,} answers are learnt without their reasoning: the chat template drops it, "
                "because they are not the last of their row"
            )
            if is_all
            else tr(
                "{answers:,} answers are shown and not learnt: the chat template drops their reasoning, "
                "because they are not the last of their row"
            )
        )
        yield Finding(
            code="dropped-reasoning",
            level="warn",
            what=sentence.format(answers=proof.without_reasoning),
            why=tr("Learnt without it, they unlearn it."),
            fix=tr("Give each such answer a row of its own that ends with it."),
        )
    if proof.reasoning and (silent := proof.learnt - proof.reasoning - proof.calls_without_reasoning):
        has_mark = card is not None and card.writes_empty_reasoning
        yield Finding(
            code="mixed-reasoning",
            level="note" if has_mark else "warn",
            what=tr(
                "{reasoning:,} answers are learnt with reasoning and {silent:,} without",
                reasoning=proof.reasoning,
                silent=silent,
            ),
            why=(
                tr(
                    "The chat template opens those without by an empty block, which is shown and not "
                    "learnt: the model learns to think where the block is open, and to answer at once "
                    "behind an empty one."
                )
                if has_mark
                else tr("Nothing in the text tells the model when to think: it learns to do so some of the time.")
            ),
            fix=(
                ""
                if has_mark
                else tr(
                    "Give every answer its reasoning, say in a system message whether to think, or train "
                    "without: --leave-out reasoning."
                )
            ),
        )


def _sentence(text: str) -> str:
    return tr("{sentence}.", sentence=f"{text[0].upper()}{text[1:]}")
