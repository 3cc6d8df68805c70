"""What people read of the rules, in the language in use. The rules know no catalogue: whoever shows them says how
(`use`), and until then they speak English.
"""

from __future__ import annotations

from collections.abc import Callable

from rules.rule import ENGLISH


class _Spoken:
    """What is spoken now. One command speaks one language."""

    code = ENGLISH
    translate: Callable[[str], str] | None = None


def current() -> str:
    """The code of the language in use."""
    return _Spoken.code


def use(code: str, translate: Callable[[str], str] | None = None) -> None:
    """Say everything as `translate` does from now on; None leaves it as it is written."""
    _Spoken.code, _Spoken.translate = code, translate


def tr(sentence: str, /, **values: object) -> str:
    """The sentence in the language in use, its placeholders filled by `str.format`."""
    text = _Spoken.translate(sentence) if _Spoken.translate is not None else sentence
    return text.format(**values) if values else text


def later(sentence: str) -> str:
    """A sentence of a table, which `tr` says where it is shown."""
    return sentence
