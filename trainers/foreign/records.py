"""Records as JSON documents, and back: what commands print, and what a child prints for the command above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trainers.foreign.text import json_document

Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """Indented UTF-8 JSON of any record of the project, keys in the order of the schema; paths are text."""
    return msgspec.json.format(msgspec.json.encode(record, enc_hook=_plain), indent=2)


def printable(record: object) -> str:
    """The same for stdout."""
    return json_document(encode(record).decode())


def decode(document: str, kind: type[Record]) -> Record:
    """The record that such a document was made of. Raises msgspec.ValidationError for another one."""
    return msgspec.json.decode(document, type=kind, dec_hook=_record)


def _plain(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} is no part of a document")


def _record(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise NotImplementedError(f"{kind.__name__} is no part of a document")
