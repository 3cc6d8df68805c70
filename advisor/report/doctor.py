"""The doctor's diagnosis for the terminal: the verdict on each method first, then every check."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from advisor.base.language import later, tr
from advisor.probe.diagnosis import Diagnosis, Readiness
from advisor.report.layout import rows, section
from trainers.method import METHODS

VERDICTS = {
    "works": (later("works"), "green"),
    "works_after": (later("works after"), "yellow"),
    "cannot": (later("cannot"), "red"),
}
OUTCOMES = {
    "ok": (later("ok"), "green"),
    "warning": ("!", "yellow"),
    "failed": (later("no"), "bold red"),
    "skipped": ("-", "dim"),
}


def diagnosis(found: Diagnosis) -> RenderableType:
    """Everything that was found."""
    parts: list[RenderableType] = [Text(tr("torch computes on: {device}", device=found.device), style="bold")]
    methods = rows("bold", "", "fold")
    for method in found.methods:
        methods.add_row(tr(METHODS[method.method].title), _marked(VERDICTS[method.verdict]), _why(method))
    parts += section(tr("Methods"), [methods])
    checks = rows("", "bold", "fold")
    for check in found.checks:
        said = Text(check.what)
        if check.why and check.outcome != "ok":
            said.append(f"\n{check.why}", style="dim")
        checks.add_row(_marked(OUTCOMES[check.outcome]), tr(check.name), said)
    parts += section(tr("Checks"), [checks])
    commands = dict.fromkeys(command for method in found.methods for command in method.commands)
    parts += section(tr("To run"), [Text(command, style="cyan") for command in commands])
    return Group(*parts)


def _marked(word: tuple[str, str]) -> Text:
    return Text(tr(word[0]), style=word[1])


def _why(method: Readiness) -> str:
    return method.why if method.verdict == "cannot" else "\n".join(method.commands)
