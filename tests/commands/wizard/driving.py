"""Drives the real prompts through a pipe: what a person would type, without a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from advisor.ask.answers import Answers, Layer, parse
from advisor.ask.question import Measured, Values
from advisor.ask.questions import BY_KEY
from advisor.commands.measure import Measurements
from advisor.commands.wizard.form import NOT_KNOWN, Wizard
from advisor.probe.describe import hardware_from_text
from advisor.probe.hardware import Hardware

ENTER, DOWN, CTRL_C = "\r", "\x1b[B", "\x03"


class Bench(Measurements):
    """The real look-ups, with one RTX 4090 as this machine."""

    def hardware(self, values: Values) -> Hardware:
        return hardware_from_text(values.get("hardware") or "RTX 4090")


@contextmanager
def typed(keys: str) -> Iterator[None]:
    """Prompts opened inside read these keys. Raises AssertionError when they ask for more, which a pipe left open
    would wait for without end."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        pipe.close()
        try:
            yield
        except KeyboardInterrupt as left:
            if isinstance(left.__cause__, EOFError):
                raise AssertionError(f"the prompts ask for more than was typed: {keys!r}") from left
            raise


def wizard(*layers: Layer, screen: Console | None = None) -> Wizard:
    given, problems = parse(*layers)
    assert not problems
    return Wizard(given, Bench(), screen or Console(file=io.StringIO(), width=80))


def pick(key: str, value: str, answers: Answers | None = None, measured: Measured | None = None) -> str:
    """Keys that choose `value` of a list whose pointer starts where the question's default is."""
    question = BY_KEY[key]
    names = list(question.choices or ("yes", "no"))
    proposal = question.proposal(answers.values if answers else {}, measured or Measured())
    if proposal is None or question.default is None:
        names.append(NOT_KNOWN)
    start = NOT_KNOWN if proposal is None else {True: "yes", False: "no"}.get(proposal.value, proposal.value)
    return DOWN * ((names.index(value) - names.index(start)) % len(names)) + ENTER
