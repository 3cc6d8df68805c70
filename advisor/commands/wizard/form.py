"""The wizard: the question table on a terminal, and nothing else. Prompts by questionary, text by rich.

    wizard = Wizard(answers_given_so_far, measurements, screen)
    answers = wizard.ask()             # raises KeyboardInterrupt; wizard.given then holds what was answered

Every prompt understands `?` (help), `<` (back one question) and `>` (keep the rest of the page as proposed).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from advisor.ask.answers import Answers, complete, parse_value
from advisor.ask.question import FIRST, PAGES, Measured, Page, Question, Suggestion, Values
from advisor.ask.questions import BY_KEY, QUESTIONS, on_page
from advisor.base.errors import AdvisorError
from advisor.base.language import tr
from advisor.commands.wizard.choosing import NO_MODEL, choose_model
from advisor.commands.wizard.keys import DRAWN, Prompts, Signal
from advisor.commands.wizard.sheet import Effects, Judge, Judged, Sheet
from advisor.report import words
from trainers import amounts

if TYPE_CHECKING:
    from rich.console import Console

    from advisor.data.profile import DatasetProfile
    from advisor.model.spec import ModelSpec
    from advisor.probe.hardware import Hardware

NOT_KNOWN = "not known"
KEYS = "?  help     <  back     >  keep the rest of the page     Ctrl-C  save and stop"


class Next(Enum):
    """What to do with a recommendation."""

    SAVE_PLAN = "save the plan"
    SHARPEN = "sharpen it: answer what would change it"
    WHOLE = "see the whole answer, with the reason of each setting"
    CHANGE = "change an answer"
    SAVE_REPORT = "save the report as HTML"
    LAUNCH = "launch it now"
    QUIT = "quit"


NEEDS_A_PLAN = (Next.LAUNCH, Next.SAVE_PLAN, Next.SHARPEN, Next.WHOLE)


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

    def __init__(self, given: Answers, measure: Measure, screen: Console, prompts: Prompts = DRAWN) -> None:
        self.given = given
        self._prompts = prompts
        self._measure = measure
        self._screen = screen
        self._measured = Measured()
        self._asked: list[str] = []
        self._done: set[str] = set(given.values)
        self._before: dict[str, Any] = {}
        """What was answered before a question was gone back to."""
        self._page: Page | None = None
        self._is_short = False
        """Whether a base model may still be missing, to be chosen among those that fit."""

    def ask_first(self) -> Answers:
        """Ask what a first answer needs: model, data and machine; the answers, completed by defaults."""
        for key in tuple(self.given.values):
            self._look_up(BY_KEY[key])
        if "hardware" not in self.given.values:
            self._look_up(BY_KEY["hardware"])
        self._is_short = True
        while (question := self._next_question(FIRST)) is not None:
            self._turn_page(question.page, "")
            self._ask_one(question)
        self._is_short = False
        while not self.given.get("model"):
            chosen = self._choose_model()
            chosen = self._prompt(BY_KEY["model"]) if isinstance(chosen, Signal) else chosen
            if not isinstance(chosen, Signal):
                self._keep(BY_KEY["model"], chosen)
        return self._completed()

    def sharpen(self, effects: Mapping[str, Mapping[str, str]]) -> Answers:
        """Let one of the open questions be answered, or all others; `effects` says what each answer would do."""
        if not effects:
            self._say(tr("No open question would change this answer, as far as it has choices."))
        every = tr("all other questions, one by one")
        rows = {tr(BY_KEY[key].prompt): key for key in effects}
        shown = {name: _gist(effects[key].values()) for name, key in rows.items()}
        chosen = self._prompts.choice(tr("Which question?"), {**shown, every: ""}, None)
        if chosen == every:
            return self.ask()
        if not isinstance(chosen, Signal):
            key = rows[chosen]
            self._ask_again(BY_KEY[key], effects[key])
        return self._completed()

    def change_on_sheet(self, judged: Judged, judge: Judge, effects: Effects) -> Answers:
        """Let any answer be changed beside the advice, which is judged again at each change."""
        from advisor.commands.wizard.live import open_sheet

        sheet = Sheet(judged)
        try:
            open_sheet(sheet, judge, effects)
        finally:
            self.given, self._measured = sheet.given, sheet.judged.measured
            self._done |= set(sheet.given.values)
        return self._completed()

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
        key = self._prompts.choice(tr("Which answer?"), choices, None)
        if not isinstance(key, Signal):
            self._ask_again(BY_KEY[str(key)])
        asked_before = {question.key for question in shown}
        necessary = [key for key in BY_KEY if key not in asked_before]
        while (question := self._next_question(necessary)) is not None:
            self._ask_one(question)
        return self._completed()

    def choose_next(self, has_plan: bool, obstacle: str | None = None) -> Next:
        """What to do with the recommendation that was just shown; `obstacle` is why it cannot be launched here."""
        left_out = set() if has_plan else set(NEEDS_A_PLAN)
        if has_plan and obstacle is not None:
            left_out.add(Next.LAUNCH)
            self._say(tr("It cannot be launched here: {obstacle}", obstacle=obstacle))
        possible = {tr(step.value): step for step in Next if step not in left_out}
        chosen = self._prompts.choice(tr("What next?"), dict.fromkeys(possible, ""), None)
        return Next.QUIT if isinstance(chosen, Signal) else possible[chosen]

    def confirm_launch(self, cost: str) -> bool:
        """Whether to start the run, which takes `cost`; no unless a person says yes."""
        choices = {"no": tr("back to the menu"), "yes": cost}
        return self._prompts.choice(tr("Start it?"), choices, None, first="no") == "yes"

    def _ask_again(self, question: Question, effects: Mapping[str, str] | None = None) -> None:
        self._before[question.key] = self._completed().get(question.key)
        while (result := self._prompt(question, effects or {})) is Signal.HELP:
            self._explain(question)
        if not isinstance(result, Signal):
            self._keep(question, result)
        self._done.add(question.key)

    def _next_question(self, among: Collection[str] = tuple(BY_KEY)) -> Question | None:
        values = self._completed().values
        open_ones = (BY_KEY[key] for key in among if key not in self._done)
        return next((question for question in open_ones if question.applies(values)), None)

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
        if question.key == "dataset" and isinstance(value, str) and " --map " in value:
            # as the error proposes it, where the columns of a dataset do not say what they are
            from trainers.examples.mapping import pasted

            value, _, columns = (part.strip() for part in value.partition(" --map "))
            values["map"], origins["map"] = pasted(columns), "prompt"
            self._done.add("map")
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
            self._say(tr("This is the first question."))
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
                self._say(tr("{question} has to be answered.", question=tr(other.prompt)), "yellow")
                return
            kept.append(f"{other.key} {words.answer(other.key, proposal.value) if proposal else tr(NOT_KNOWN)}")
            self._asked.append(other.key)
            self._done.add(other.key)
        self._say(tr("Kept: {answers}", answers=", ".join(kept)))

    def _prompt(self, question: Question, effects: Mapping[str, str] | None = None) -> Any:
        """The answer, or a key that is none; `effects` of an answer stand in the place of its meaning."""
        proposal = self._proposal(question)
        if question.kind in ("choice", "bool"):
            meanings = {**(question.choices or {"yes": "", "no": ""}), **(effects or {})}
            return self._from_choice(question, meanings, proposal)
        if question.key == "hardware" and self._measured.hardware is not None:
            from advisor.report.machine import one_line

            self._say(tr("This machine: {machine}", machine=one_line(self._measured.hardware)))
        hint = self._hint(question, proposal)
        text = self._prompts.text(
            tr(question.prompt),
            hint,
            _checker(question, proposal, may_be_empty=self._is_short),
            _suggestions(question),
            is_path=question.kind == "path" or question.key == "dataset",
        )
        if isinstance(text, Signal):
            return text
        if not text.strip():
            return proposal.value if proposal else None
        if question.key == "model" and text.strip().lower() in NO_MODEL:
            return None if self._is_short else self._choose_model()
        return parse_value(question, text)

    def _choose_model(self) -> str | Signal:
        """A model of the short list for this machine; the kind of data that was said on the way is kept."""
        hardware = self._measured.hardware or self._measure.hardware(self.given.values)
        chosen = choose_model(hardware, self.given.values, self._prompts)
        if isinstance(chosen, Signal):
            return chosen
        self._keep(BY_KEY["data.kind"], chosen.kind)
        self._done.add("data.kind")
        if chosen.model is None:
            self._say(tr("No model of the list fits this machine comfortably: `sft-advisor map` shows what does."))
            return Signal.HELP
        return chosen.model

    def _from_choice(self, question: Question, meanings: Mapping[str, str], proposal: Suggestion | None) -> Any:
        choices = {value: tr(meaning) for value, meaning in meanings.items()}
        not_known = tr(NOT_KNOWN)
        if proposal is None or question.default is None:
            choices[not_known] = tr("leave it open")
        first = not_known if proposal is None else words.answer(question.key, proposal.value)
        hint = f"({tr(words.ORIGIN_NAMES[proposal.origin])})" if proposal and proposal.origin != "default" else None
        chosen = self._prompts.choice(tr(question.prompt), choices, hint, first=first)
        if isinstance(chosen, Signal):
            return chosen
        return None if chosen == not_known else parse_value(question, chosen)

    def _hint(self, question: Question, proposal: Suggestion | None) -> str:
        """What Enter means, or an example where Enter means nothing."""
        if proposal is not None:
            origin = f", {tr(words.ORIGIN_NAMES[proposal.origin])}" if proposal.origin != "default" else ""
            return f"[{words.answer(question.key, proposal.value)}{origin}]"
        if question.required and self._is_short:
            return tr("(e.g. {example}; Enter if you have none yet)", example=question.example)
        if question.required:
            return tr("(e.g. {example}; none: help me choose)", example=question.example)
        if question.key == "hardware":
            return tr("[this machine]")
        return tr("[none]") if question.page in ("what", "wishes") else f"[{tr(NOT_KNOWN)}]"

    def _proposal(self, question: Question) -> Suggestion | None:
        before = self._before.get(question.key)
        if before is not None:
            return Suggestion(before, "default")
        return question.proposal(self.given.values, self._measured)

    def _look_up(self, question: Question) -> None:
        """Measure what the answer names, so that later questions can offer it as default."""
        values = self.given.values
        if question.key in ("hardware", "output"):
            with self._screen.status(tr("looking at the machine")):
                self._measured.hardware = self._measure.hardware(values)
        elif question.key == "model" and values.get("model"):
            with self._screen.status(tr("reading the model's config")):
                self._measured.model = self._measure.model(values)
            self._say(tr("{count} parameters", count=amounts.count(self._measured.model.num_params)))
        if question.key in ("dataset", "model", "eval_dataset"):
            # the model's tokenizer counts the tokens, so another model is another profile
            with self._screen.status(tr("reading the dataset")):
                self._measured.data = self._measure.data(values)
            if self._measured.data is not None:
                self._say(words.dataset_line(self._measured.data))

    def _explain(self, question: Question) -> None:
        self._say(f"{tr(question.help)}\n{tr(question.why)}", "cyan")
        if question.example:
            self._say(tr("For example: {example}", example=question.example))

    def _say(self, text: str, style: str = "dim") -> None:
        from rich.padding import Padding

        self._screen.print(Padding(text, (0, 0, 0, 2)), style=style)

    def _turn_page(self, page: Page, place: str | None = None) -> None:
        if page == self._page:
            return
        from advisor.report.layout import Titled

        if self._page is None:
            self._screen.print(tr(KEYS), style="dim")
        self._page = page
        number = f"{list(PAGES).index(page) + 1}/{len(PAGES)}  " if place is None else place
        self._screen.print()
        self._screen.print(Titled(f"{number}{tr(PAGES[page])}"))

    def _completed(self) -> Answers:
        return complete(self.given, self._measured)


def _gist(changes: Collection[str]) -> str:
    """Where the answers lead: methods and verdicts by their names, then other settings by that word."""
    places = [change for change in changes if "→" not in change]
    return ", ".join(dict.fromkeys([*places, *([tr("other settings")] if len(places) < len(changes) else [])]))


def _checker(question: Question, proposal: Suggestion | None, *, may_be_empty: bool = False) -> Any:
    """What the prompt calls on Enter: True, or the sentence that says what is wrong."""

    def check(text: str) -> bool | str:
        if not text.strip():
            fine = proposal is not None or not question.required or may_be_empty
            return fine or tr("an answer is needed; ? shows help")
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
        return tr(NOT_KNOWN)
    return f"{words.answer(question.key, value)}  ({tr(words.ORIGIN_NAMES[answers.origins[question.key]])})"
