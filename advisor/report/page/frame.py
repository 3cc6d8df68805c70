"""What stands around every page of `ui`."""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """One page's surroundings, made by the server."""

    place: str
    """The path, by which the menu knows where it is."""
    form_token: str
    version: str
    lang: str
    languages: tuple[tuple[str, str, str], ...]
    """Code, own name, and the address that chooses it."""
