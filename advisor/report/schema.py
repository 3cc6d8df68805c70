"""JSON Schemas of the documents that leave the program, made from the records themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from advisor.ask.question import Question
from advisor.report.descriptions import describe
from advisor.report.documents import ANSWERS_SOURCE, DOCUMENTS, PROMISE

NAMES = ("answers", *DOCUMENTS)
SIZE_PATTERN = r"^\d{1,12}(\.\d{1,6})?\s*[KMGTPkmgtp]?[iI]?[bB]$"


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of NAMES; its `$id` carries the version that documents name."""
    schema_id, record, source = _named(name)
    schema = describe(msgspec.json.schema(record, schema_hook=_plain), record)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id,
        "title": f"sft-advisor {name}",
        "description": f"{source} {PROMISE}",
        **schema,
    }


def _named(name: str) -> tuple[str, Any, str]:
    """(name with version, record, where such a document comes from)."""
    if name == "answers":
        from advisor.ask.answers import ANSWERS_SCHEMA

        return ANSWERS_SCHEMA, _answers_record(ANSWERS_SCHEMA), ANSWERS_SOURCE
    document = DOCUMENTS[name]
    return f"sft-advisor/{name}/v{document.version}", document.type, document.source


def _plain(kind: type) -> dict[str, Any]:
    """Paths are text in a document."""
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError(f"{kind.__name__} is no part of a document")


def _answers_record(schema_id: str) -> Any:
    """The answers file as a record, derived from the question table."""
    from advisor.ask.questions import QUESTIONS

    tables: dict[str, list[tuple[str, Any, Any]]] = {}
    named: Any = Annotated[Literal[schema_id], Meta(description="Name and version of this document.")]
    top: list[tuple[str, Any, Any]] = [("schema", named, schema_id)]
    for question in QUESTIONS:
        table, dot, field = question.key.rpartition(".")
        row = (
            field,
            Annotated[answer_type(question), Meta(description=question.prompt)] | msgspec.UnsetType,
            msgspec.UNSET,
        )
        (tables.setdefault(table, []) if dot else top).append(row)
    for table, rows in tables.items():
        record = msgspec.defstruct(table.capitalize(), rows, forbid_unknown_fields=True)
        described: Any = Annotated[record, Meta(description=f"Answers whose keys begin with {table}.")]
        top.append((table, described | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct("Answers", top, forbid_unknown_fields=True)


def answer_type(question: Question) -> Any:
    """The type of an answer to the question, with its bounds."""
    match question.kind:
        case "choice":
            return Literal[tuple(question.choices)]
        case "bool":
            return bool
        case "int" | "length":
            return Annotated[int, Meta(ge=question.low, le=question.high)]
        case "size":
            return Annotated[int, Meta(ge=question.low)] | Annotated[str, Meta(pattern=SIZE_PATTERN)]
        case _:
            return Annotated[str, Meta(min_length=1)]
