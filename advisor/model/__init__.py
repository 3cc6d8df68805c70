"""Models: from whatever the user typed to a ModelSpec. Loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.model.resolve import resolve_model

__all__ = ["resolve_model"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name != "resolve_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from advisor.model.resolve import resolve_model

    return resolve_model
