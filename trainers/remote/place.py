"""What a place is: the commands that a person would type there, made from a job."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from trainers.foreign.text import shell, shell_line
from trainers.plan import TrainingPlan

PYTHON_VARIABLE = "SFT_ADVISOR_PYTHON"
"""Of the caller: the Python to use at the place, instead of an environment that the job makes there."""
TOKEN_VARIABLE = "HF_TOKEN"
LEFT_THERE = "checkpoints"
"""Of the run: what a resume at the place needs, and nobody here."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job: what travels, where to, and where its run is kept here."""

    name: str
    """Lower case letters, digits and dashes: what every system takes as a name."""
    folder: Path
    """The job folder on this disk, absolute."""
    run_dir: Path
    """Where the run is, or is brought to, absolute."""
    plan: TrainingPlan
    """As it reads inside the folder."""
    where: str = ""
    """What stood after the place: a host, an image, a partition, an address."""
    start: int = 1
    """How often it was started, this time included."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command."""

    command: tuple[str, ...]
    stdin: str | None = None
    """Handed to it and shown to nobody: a secret."""
    environment: dict[str, str] = {}
    """On top of the caller's."""

    def as_shell(self) -> str:
        """To paste into a shell, in the job folder. What is handed over by stdin is left out."""
        settings = [f"{name}={shell(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, shell_line(self.command)])


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How a job gets to a place, starts there, is followed, and comes back."""

    target: str
    """The export target that writes its job."""
    where: str = ""
    """What may stand after the colon, for a person; "" for nothing."""
    needs_where: bool = False
    programs: tuple[str, ...]
    """What has to be installed here."""
    files: Callable[[Job], dict[str, str]] = lambda job: {}
    """File -> content, where the job's name or `where` stands in what the export wrote."""
    send: Callable[[Job], tuple[Step, ...]] = lambda job: ()
    submit: Callable[[Job], Step]
    """The last word that it prints is the job's id there."""
    follow: Callable[[Job, str], Step]
    """Prints the log from its beginning, and ends when the job does."""
    alive: Callable[[Job, str], Step]
    """Succeeds while the job waits or runs."""
    unreachable: int | None = None
    """Exit code of `alive` that means nobody could be asked."""
    fetch: Callable[[Job, str], tuple[Step, ...]] = lambda job, identity: ()
    """Brings the run to `job.run_dir`; nothing where it was written there."""
    cancel: Callable[[Job, str], Step]


def script(text: str, *arguments: str, stdin: str | None = None, **environment: str) -> Step:
    """A line of bash, whose `$1`, `$2` are the arguments: text of a stranger never stands in the line itself."""
    return Step(
        command=("bash", "-c", f"set -o pipefail; {text}", "bash", *arguments), stdin=stdin, environment=environment
    )


def name_of(run_dir: Path) -> str:
    """A job's name from its run folder: it begins with a letter, and has at most 40 characters."""
    plain = re.sub(r"[^a-z0-9]+", "-", run_dir.name.lower()).strip("-")
    return f"sft-{plain}"[:40].strip("-")


def chosen_python(caller: Mapping[str, str] | None = None) -> dict[str, str]:
    """PYTHON for the job, when the caller names one at the place."""
    python = (os.environ if caller is None else caller).get(PYTHON_VARIABLE)
    return {"PYTHON": python} if python else {}


def token(caller: Mapping[str, str] | None = None) -> str:
    """The hub's token of the caller; "" when there is none."""
    return (os.environ if caller is None else caller).get(TOKEN_VARIABLE, "")
