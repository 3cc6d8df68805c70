"""What the proofs of many rows add up to: the line that a check prints and a run repeats."""

from __future__ import annotations

import re

import msgspec

from trainers.examples.example import Example, RowError
from trainers.examples.parsers import parser_of
from trainers.examples.proof import Unproven
from trainers.examples.spans import Rendered
from trainers.language import later, tr
from trainers.plan import LossOn

REFUSED = "refused"
"""The kind of a row that the template itself refuses."""

WAYS_OUT = {
    "calls": later("use a model whose chat template shows tool calls, or put such a template into its folder"),
    "parallel-calls": later(
        "use a model whose chat template shows several calls in one answer, or give each "
        "call its own answer with its result behind it"
    ),
    "tools": later("use a model whose chat template shows tools, or leave the declarations out: --leave-out tools"),
    "results": later("use a model whose chat template shows what tools return"),
    "reasoning": later("use a model that was made to reason, or train without the reasoning: --leave-out reasoning"),
    "words": later("leave out what is said beside a call, as the template does: --leave-out words"),
    "system": later("put the system message into the first question, or use a model whose template shows it"),
    "thought": later("close each reasoning with </think> in front of the answer, or leave these rows out"),
    "arguments": later("write the arguments as a JSON object, or leave these rows out"),
    "template": later("use the chat template of another version of the model, and report this one"),
    REFUSED: later("mend what the reason names in these rows, leave them out, or give another template"),
}
"""What to do about rows that cannot be proven, by what is in the way."""
ROLE_ORDER = later("bring the roles into the order that the template asks for, or give another template")
_ABOUT_ROLES = re.compile(r"\broles?\b|alternat|must start|first user message|system message", re.IGNORECASE)

LINES_SHOWN = 20


class Proof(msgspec.Struct, kw_only=True):
    """Counts over rows that were looked at. A row is proven when every answer that is to be learnt is learnt whole,
    with its end, its calls and its reasoning, and no word of a question, a system message or a tool is. Where the
    loss is on everything, all words are to be learnt but those that the data excludes.
    """

    loss_on: LossOn = "assistant"
    """What the loss looks at: assistant, completion or all."""
    rows: int = 0
    """Rows that were looked at."""
    proven: int = 0
    """Of these, the proven ones."""
    answers: int = 0
    """Assistant messages of the proven rows."""
    learnt: int = 0
    """Answers that are learnt."""
    excluded: int = 0
    """Answers that are only shown because the data, or the choice of the loss, says so."""
    without_reasoning: int = 0
    """Answers whose reasoning the template drops, because they are not the last of their row: they are only shown,
    and where the loss is on everything learnt without it."""
    calls: int = 0
    """Learnt answers that call tools."""
    calls_without_reasoning: int = 0
    """Learnt answers that call tools and show no reasoning."""
    reasoning: int = 0
    """Learnt answers with reasoning."""
    texts: int = 0
    """Rows of plain text, all of which is learnt."""
    unproven: dict[str, int] = {}
    """Rows that are left out, by what is in the way (a key of WAYS_OUT)."""
    unproven_lines: dict[str, list[int]] = {}
    """The first few of them."""
    reasons: dict[str, str] = {}
    """What was said of the first of them."""
    line: str = ""
    """All of it in one line, for people."""
    parsers: dict[str, int] = {}
    """Answers with calls, by the parser of the serving engine that finds these calls; "none" for those that none
    does."""

    def add(self, example: Example, rendered: Rendered) -> None:
        """Count a row that was marked."""
        self.rows += 1
        self.proven += 1
        if rendered.is_plain:
            self.texts += 1
            return
        self.answers += example.num_answers
        self.learnt += len(rendered.answers)
        self.without_reasoning += len(rendered.without_reasoning)
        self.excluded += len(set(rendered.shown) - set(rendered.without_reasoning))
        for answer in rendered.answers:
            self.reasoning += answer.has_reasoning
            if answer.calls:
                self.calls += 1
                self.calls_without_reasoning += not answer.has_reasoning
                form = parser_of(rendered.words(answer), answer.calls)
                name = form.parser if form else "none"
                self.parsers[name] = self.parsers.get(name, 0) + 1

    def refuse(self, error: RowError, line: int) -> None:
        """Count the row of this line, which could not be marked."""
        kind = error.kind if isinstance(error, Unproven) else REFUSED
        self.rows += 1
        self.unproven[kind] = self.unproven.get(kind, 0) + 1
        self.reasons.setdefault(kind, tr("line {line}: {error}", line=line, error=error))
        shown = self.unproven_lines.setdefault(kind, [])
        if len(shown) < LINES_SHOWN:
            shown.append(line)

    def way_out(self, kind: str) -> str:
        """What to do about the rows that this kind of thing keeps out."""
        if kind == REFUSED and _ABOUT_ROLES.search(self.reasons.get(kind, "")):
            return tr(ROLE_ORDER)
        return tr(WAYS_OUT[kind])

    def summed_up(self) -> Proof:
        """Itself, with its line: "240 of 240 rows: all 612 answers learnt, nothing else"."""
        self.line = tr(
            "{proven:,} of {rows:,} rows: {learnt}",
            proven=self.proven,
            rows=self.rows,
            learnt=self._what_is_learnt(),
        )
        return self

    def _what_is_learnt(self) -> str:
        if not self.proven:
            return tr("none can be proven, and nothing of them is learnt")
        if self.texts == self.proven:
            return tr("plain text, all of it learnt")
        if self.loss_on == "all":
            return ", ".join([tr("every word learnt, those of users, system and tools too"), *self._exceptions()])
        shown = self.answers - self.learnt
        learnt = (
            tr("all {answers:,} answers learnt", answers=self.answers)
            if not shown
            else tr("{learnt:,} answers learnt", learnt=self.learnt)
        )
        texts = [tr("{texts:,} plain texts learnt whole", texts=self.texts)] if self.texts else []
        return ", ".join([learnt, *texts, *self._exceptions(), tr("nothing else")])

    def _exceptions(self) -> list[str]:
        """What becomes of the answers that are not learnt as they stand in the data."""
        dropped = (
            tr("learnt without their reasoning, which the template drops")
            if self.loss_on == "all"
            else tr("only shown, because the template drops their reasoning")
        )
        counted = ((self.excluded, tr("only shown")), (self.without_reasoning, dropped))
        return [f"{number:,} {what}" for number, what in counted if number]
