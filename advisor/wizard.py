"""The wizard: the question table on a terminal, and nothing else. Prompts by questionary, text by rich.

    wizard = Wizard(answers_given_so_far, measurements, screen)
    answers = wizard.ask()             # raises KeyboardInterrupt; wizard.given then holds what was answered

Every prompt understands `?` (help), `<` (back one question) and `>` (keep the rest of the page as proposed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from advisor.answers import Answers, complete, parse_value
from advisor.errors import AdvisorError
from advisor.prompts import Signal, ask_choice, ask_text
from advisor.question import Context, Page, Question, Suggestion, Values
from advisor.questions import BY_KEY, PAGES, QUESTIONS, on_page
from advisor.report import words

if TYPE_CHECKING:
    from rich.console import Console

    from advisor.data.profile import DatasetProfile
    from advisor.model.spec import ModelSpec
    from advisor.probe.hardware import Hardware

NOT_KNOWN = "not known"
KEYS = "?  help     <  back     >  keep the rest of the page     Ctrl-C  save and stop"


class Next(Enum):
    """What to do with a recommendation."""

    LAUNCH = "launch it now"
    SAVE_PLAN = "save the plan"
    SAVE_REPORT = "save the report as HTML"
    REASONS = "see why each setting was chosen"
    CHANGE = "change an answer"
    QUIT = "quit"


NEEDS_A_PLAN = (Next.LAUNCH, Next.SAVE_PLAN, Next.REASONS)


class Measure(Protocol):
    """Looks up what an answer names; raises InputError when it cannot."""

    def hardware(self, values: Values) -> Hardware:
        """The machine."""

    def model(self, values: Values) -> ModelSpec:
        """The model's shape."""

    def data(self, values: Values) -> DatasetProfile | None:
        """The dataset's profile."""


class Wizard:
    """One conversation. `given` holds everything a person has said so far, whatever happens."""

    def __init__(self, given: Answers, measure: Measure, screen: Console) -> None:
        self.given = given
        self._measure = measure
        self._screen = screen
        self._context = Context()
        self._asked: list[str] = []
        self._done: set[str] = set(given.values)
        self._before: dict[str, Any] = {}
        """What was answered before a question was gone back to."""
        self._page: Page | None = None

    def ask(self) -> Answers:
        """Ask every question that applies and is not answered yet; the answers, completed by defaults."""
        for key in tuple(self.given.values):
            self._look_up(BY_KEY[key])
        self._look_up(BY_KEY["hardware"])
        while (question := self._next_question()) is not None:
            self._turn_page(question.page)
            self._ask_one(question)
        return self._completed()

    def change(self) -> Answers:
        """Let one answer be chosen and asked again, then whatever it makes necessary."""
        answers = self._completed()
        shown = [question for question in QUESTIONS if question.applies(answers.values)]
        choices = {question.key: _row(question, answers) for question in shown}
        key = ask_choice("Which answer?", choices, None)
        if not isinstance(key, Signal):
            question = BY_KEY[str(key)]
            self._before[question.key] = answers.get(question.key)
            self._done.discard(question.key)
            while (result := self._prompt(question)) is Signal.HELP:
                self._explain(question)
            if not isinstance(result, Signal):
                self._keep(question, result)
            self._done.add(question.key)
        return self.ask()

    def choose_next(self, can_launch: bool) -> Next:
        """What to do with the recommendation that was just shown."""
        possible = [step for step in Next if can_launch or step not in NEEDS_A_PLAN]
        chosen = ask_choice("What next?", {step.value: "" for step in possible}, None)
        return Next.QUIT if isinstance(chosen, Signal) else Next(chosen)

    def _next_question(self) -> Question | None:
        values = self._completed().values
        return next((q for q in QUESTIONS if q.key not in self._done and q.applies(values)), None)

    def _ask_one(self, question: Question) -> None:
        result = self._prompt(question)
        if result is Signal.HELP:
            self._explain(question)
        elif result is Signal.BACK:
            self._go_back()
        elif result is Signal.KEEP:
            self._keep_page(question)
        elif self._keep(question, result):
            self._asked.append(question.key)
            self._done.add(question.key)

    def _keep(self, question: Question, value: Any) -> bool:
        """Take an answer (None: not known) and look up what it names; False when that fails."""
        before = self.given
        values, origins = dict(before.values), dict(before.origins)
        values.pop(question.key, None)
        origins.pop(question.key, None)
        if value is not None:
            values[question.key], origins[question.key] = value, "prompt"
        self.given = Answers(values=values, origins=origins)
        try:
            self._look_up(question)
        except AdvisorError as error:
            self.given = before
            for problem in error.problems:
                self._say(problem.what, "red")
                self._say("\n".join(part for part in (problem.why, problem.fix) if part))
            return False
        return True

    def _go_back(self) -> None:
        if not self._asked:
            self._say("This is the first question.")
            return
        key = self._asked.pop()
        self._done.discard(key)
        self._before[key] = self.given.get(key)

    def _keep_page(self, question: Question) -> None:
        kept = []
        for other in on_page(question.page):
            if other.key in self._done or not other.applies(self._completed().values):
                continue
            proposal = self._proposal(other)
            if other.required and proposal is None:
                self._say(f"{other.prompt} has to be answered.", "yellow")
                return
            kept.append(f"{other.key} {words.answer(other.key, proposal.value) if proposal else NOT_KNOWN}")
            self._asked.append(other.key)
            self._done.add(other.key)
        self._say(f"Kept: {', '.join(kept)}")

    def _prompt(self, question: Question) -> Any:
        proposal = self._proposal(question)
        if question.kind in ("choice", "bool"):
            meanings = question.choices or {"yes": "", "no": ""}
            return self._from_choice(question, meanings, proposal)
        if question.key == "hardware" and self._context.hardware is not None:
            from advisor.report.machine import one_line

            self._say(f"This machine: {one_line(self._context.hardware)}")
        hint = self._hint(question, proposal)
        text = ask_text(
            question.prompt,
            hint,
            _checker(question, proposal),
            _suggestions(question),
            is_path=question.kind == "path" or question.key == "dataset",
        )
        if isinstance(text, Signal):
            return text
        if not text.strip():
            return proposal.value if proposal else None
        return parse_value(question, text)

    def _from_choice(self, question: Question, meanings: Mapping[str, str], proposal: Suggestion | None) -> Any:
        choices = dict(meanings)
        if proposal is None or question.default is None:
            choices[NOT_KNOWN] = "leave it open"
        first = NOT_KNOWN if proposal is None else words.answer(question.key, proposal.value)
        hint = f"({words.ORIGIN_NAMES[proposal.origin]})" if proposal and proposal.origin != "default" else None
        chosen = ask_choice(question.prompt, choices, hint, first=first)
        if isinstance(chosen, Signal):
            return chosen
        return None if chosen == NOT_KNOWN else parse_value(question, chosen)

    def _hint(self, question: Question, proposal: Suggestion | None) -> str:
        """What Enter means, or an example where Enter means nothing."""
        if proposal is not None:
            origin = f", {words.ORIGIN_NAMES[proposal.origin]}" if proposal.origin != "default" else ""
            return f"[{words.answer(question.key, proposal.value)}{origin}]"
        if question.required:
            return f"(e.g. {question.example})"
        if question.key == "hardware":
            return "[this machine]"
        return "[none]" if question.page in ("what", "wishes") else f"[{NOT_KNOWN}]"

    def _proposal(self, question: Question) -> Suggestion | None:
        before = self._before.get(question.key)
        if before is not None:
            return Suggestion(before, "default")
        return question.proposal(self.given.values, self._context)

    def _look_up(self, question: Question) -> None:
        """Measure what the answer names, so that later questions can offer it as default."""
        values = self.given.values
        if question.key in ("hardware", "output"):
            with self._screen.status("looking at the machine"):
                self._context.hardware = self._measure.hardware(values)
        elif question.key == "model" and values.get("model"):
            with self._screen.status("reading the model's config"):
                self._context.model = self._measure.model(values)
            self._say(f"{words.count(self._context.model.num_params)} parameters")
        if question.key in ("dataset", "model"):
            # the model's tokenizer counts the tokens, so another model is another profile
            with self._screen.status("reading the dataset"):
                self._context.data = self._measure.data(values)
            if self._context.data is not None:
                self._say(words.dataset_line(self._context.data))

    def _explain(self, question: Question) -> None:
        self._say(f"{question.help}\n{question.why}", "cyan")
        if question.example:
            self._say(f"For example: {question.example}")

    def _say(self, text: str, style: str = "dim") -> None:
        from rich.padding import Padding

        self._screen.print(Padding(text, (0, 0, 0, 2)), style=style)

    def _turn_page(self, page: Page) -> None:
        if page == self._page:
            return
        from rich.rule import Rule
        from rich.text import Text

        if self._page is None:
            self._screen.print(KEYS, style="dim")
        self._page = page
        number = list(PAGES).index(page) + 1
        self._screen.print()
        self._screen.print(
            Rule(Text(f"{number}/{len(PAGES)}  {PAGES[page]} ", style="bold"), align="left", style="dim")
        )

    def _completed(self) -> Answers:
        return complete(self.given, self._context)


def _checker(question: Question, proposal: Suggestion | None) -> Any:
    """What the prompt calls on Enter: True, or the sentence that says what is wrong."""

    def check(text: str) -> bool | str:
        if not text.strip():
            return True if proposal is not None or not question.required else "an answer is needed; ? shows help"
        try:
            parse_value(question, text)
        except ValueError as error:
            return str(error)
        return True

    return check


def _suggestions(question: Question) -> Sequence[str]:
    if question.key == "model":
        from advisor.model.catalog import catalog_names

        return catalog_names()
    return ()


def _row(question: Question, answers: Answers) -> str:
    value = answers.get(question.key)
    if value is None:
        return NOT_KNOWN
    return f"{words.answer(question.key, value)}  ({words.ORIGIN_NAMES[answers.origins[question.key]]})"
