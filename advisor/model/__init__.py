"""The model room: from whatever the user typed to a ModelSpec."""

from __future__ import annotations

from advisor.model.resolve import resolve_model

__all__ = ["resolve_model"]
