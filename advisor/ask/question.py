"""What a question is: the record type of the table in questions.py, and what its defaults are read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from advisor.data.profile import DatasetProfile
    from advisor.model.spec import ModelSpec
    from advisor.probe.hardware import Hardware

Kind = Literal["text", "choice", "bool", "int", "length", "size", "path"]
Page = Literal["what", "data", "task", "deployment", "storage", "wishes"]
PAGES: dict[Page, str] = {
    "what": "What to train, on what, where",
    "data": "The examples",
    "task": "The task",
    "deployment": "How it will be served",
    "storage": "What is kept",
    "wishes": "What you insist on",
}
FIRST = ("model", "dataset", "hardware")
"""Keys of what is asked first, because everything else follows from it."""
Origin = Literal["flag", "file", "prompt", "probe", "dataset", "model", "default"]


class Measured:
    """What has been measured so far; defaults are read from it. None: not (yet) known."""

    def __init__(
        self,
        hardware: Hardware | None = None,
        model: ModelSpec | None = None,
        data: DatasetProfile | None = None,
    ) -> None:
        self.hardware = hardware
        self.model = model
        self.data = data


Values = Mapping[str, Any]


class Suggestion(msgspec.Struct, frozen=True):
    """A default that was measured or derived, and what it comes from."""

    value: Any
    origin: Origin = "default"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    key: str
    page: Page
    kind: Kind
    prompt: str
    help: str
    """What is meant."""
    why: str
    """Why it matters."""
    choices: Mapping[str, str] = {}
    """Value -> its meaning in one line."""
    default: Any = None
    suggest: Callable[[Values, Measured], Suggestion | None] | None = None
    """A better default than `default`, once enough is known."""
    applies: Callable[[Values], bool] = lambda values: True
    """Whether it is asked. Its default, and a value given by flag or file, count even when it is not."""
    required: bool = False
    low: int | None = None
    high: int | None = None
    example: str = ""

    @property
    def flag(self) -> str:
        """`task.switch_per_request` -> `--task-switch-per-request`."""
        return "--" + self.key.replace(".", "-").replace("_", "-")

    def proposal(self, values: Values, measured: Measured) -> Suggestion | None:
        """The default to offer, or None when the honest default is "not known"."""
        suggestion = self.suggest(values, measured) if self.suggest else None
        if suggestion is not None:
            return suggestion
        return None if self.default is None else Suggestion(self.default)


def meanings(allowed: tuple[str, ...], **meanings: str) -> dict[str, str]:
    """Choices in the order of the vocabulary; a choice without a meaning, or the reverse, stops the import."""
    if set(allowed) != {name.lstrip("_") for name in meanings}:
        raise ValueError(f"choices {allowed} and meanings {tuple(meanings)} differ")
    return {name: meanings.get(name) or meanings[f"_{name}"] for name in allowed}
