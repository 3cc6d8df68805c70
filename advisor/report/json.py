"""A Recommendation as JSON: the document of schema/recommendation, bytes in integers, null for unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


def encode(document: Any) -> bytes:
    """Indented UTF-8 JSON of any record of the project, keys in the order of the schema."""
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=_plain), indent=2)


def _plain(value: Any) -> str:
    """Where something lies is text to whoever reads the document."""
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} is no part of a document")
