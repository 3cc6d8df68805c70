"""A Recommendation as JSON: the document of schema/recommendation, bytes in integers, null for unknown."""

from __future__ import annotations

from typing import Any

from trainers.foreign import records


def encode(document: Any) -> bytes:
    """Indented UTF-8 JSON of any record of the project, keys in the order of the schema."""
    return records.encode(document)
