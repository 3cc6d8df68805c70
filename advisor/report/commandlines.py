"""The commands that an answer leads to, as lines to paste into a shell."""

from __future__ import annotations

from typing import Any

from advisor.ask.answers import EXPLICIT
from advisor.ask.question import Question
from advisor.ask.questions import QUESTIONS
from advisor.decide.recommendation import Recommendation
from trainers.foreign.text import shell_line
from trainers.run_folder import layout


def asked_again(result: Recommendation, *more: str) -> str:
    """The command that asks for this answer again, with `more` flags."""
    words = ["sft-advisor", "--non-interactive"]
    for question in QUESTIONS:
        view = result.answers.get(question.key)
        if view is not None and view.origin in EXPLICIT:
            words += [question.flag, _typed(question, view.value)]
    return shell_line([*words, *more])


def _typed(question: Question, value: Any) -> str:
    """A value as its flag takes it."""
    if question.kind == "bool":
        return "yes" if value else "no"
    return f"{value}B" if question.kind == "size" else str(value)


def next_commands(result: Recommendation) -> dict[str, str]:
    """What can be done with the answer: name -> line to paste; `launch` and `export` read what `save_plan` wrote."""
    commands = {"explain": "sft-advisor explain last"}
    if result.best is not None:
        commands["save_plan"] = asked_again(result, "--save-plan", layout.PLAN)
    if result.best is not None and result.best.plan.dataset is not None:
        commands["launch"] = f"sft-advisor launch {layout.PLAN}"
        commands["export"] = f"sft-advisor export {layout.PLAN} --to slurm"
    commands["html"] = asked_again(result, "--html", "report.html")
    return commands
