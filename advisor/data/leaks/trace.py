"""One place that looks like a secret or like personal data, and why it may be harmless."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from importlib.resources import files

import msgspec

from advisor.base.language import tr


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a marked text. `harmless` says why it is set aside; empty where it counts."""

    code: str
    """The finding's name, which --allow takes."""
    name: str
    place: int
    shown: str
    """Masked."""
    is_secret: bool = False
    harmless: str = ""


class Detector(msgspec.Struct, frozen=True):
    """Finds traces in the texts that match one of the hints, patterns of Rust's regex."""

    hints: tuple[str, ...]
    find: Callable[[str], Iterable[Trace]]


HARMLESS: dict[str, frozenset[str]] = {
    kind: frozenset(words)
    for kind, words in tomllib.loads(files(__package__).joinpath("harmless.toml").read_text(encoding="utf-8")).items()
}
"""Words that take the weight from what looks like a leak, by kind: harmless.toml."""
PLACEHOLDER = re.compile(
    r"example|placeholder|dummy|redacted|change_?me|replace|insert|your[_-]?\w|my[_-]?(?:secret|token|key|pass)|"
    r"xxx|\*\*|\.\.\.|…|[<>{}$]|12345678|abcdefgh|0123456|987654|(.)\1{5}|fake|not_?a_?real",
    re.IGNORECASE,
)


def is_placeholder_domain(domain: str) -> bool:
    """Whether a domain is one that people make up to show an address."""
    labels = domain.lower().strip(".").split(".")
    return any(label in HARMLESS["domains"] or label.startswith(("your", "example", "some")) for label in labels)


def masked(text: str, kept: int = 2) -> str:
    """The first characters, and how many there are in all."""
    return tr("'{text}…' ({num_text} characters)", text=text[:kept], num_text=len(text))
