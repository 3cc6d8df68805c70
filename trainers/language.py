"""What people read, in the language in use. English sentences are the keys of a catalogue, a file of gettext.

Whoever starts a command chooses it (`use`); a process that one of ours starts is told it by its environment
(`handed_on`). English reads nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gettext import NullTranslations

HANDED_ON = "SFT_ADVISOR_CATALOGUE"
"""The variable that names the catalogue to a child."""


def tr(sentence: str, /, **values: object) -> str:
    """The sentence in the language in use, its placeholders filled by `str.format`."""
    catalogue = _Spoken.catalogue
    text = catalogue.gettext(sentence) if catalogue is not None and sentence else sentence
    return text.format(**values) if values else text


def later(sentence: str) -> str:
    """A sentence of a table: stays English here, stands in the catalogue, and is said by `tr` where it is shown."""
    return sentence


class Later(NamedTuple):
    """The same for a sentence with values: `str` says it. A value may be another one."""

    sentence: str
    values: Mapping[str, object] = {}

    def __str__(self) -> str:
        return tr(self.sentence, **self.values)


def use(catalogue: Path | None) -> None:
    """Speak what this compiled catalogue says from now on; None is English. Raises OSError where it is not there."""
    _Spoken.file, _Spoken.catalogue = catalogue, _read(catalogue) if catalogue else None


def code() -> str:
    """The code of the language in use, as the catalogue states it."""
    return _Spoken.catalogue.info().get("language", "en") if _Spoken.catalogue else "en"


def handed_on() -> dict[str, str]:
    """What makes a child process speak the same language, for its environment."""
    return {HANDED_ON: str(_Spoken.file)} if _Spoken.file else {}


def _read(catalogue: Path) -> NullTranslations:
    from gettext import GNUTranslations

    with catalogue.open("rb") as file:
        return GNUTranslations(file)


class _Spoken:
    """What is spoken now. One command speaks one language."""

    file: Path | None = None
    catalogue: NullTranslations | None = None


def _as_told() -> None:
    """A child speaks as its parent does; where the catalogue is on another machine, it speaks English."""
    told = os.environ.get(HANDED_ON)
    if told and Path(told).is_file():
        use(Path(told))


_as_told()
