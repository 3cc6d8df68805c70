"""What each field of a record means, read from the text under it in the source: one place for reader and schema."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec


def describe(schema: dict[str, Any], record: Any) -> dict[str, Any]:
    """The same JSON Schema, with a description at each property of a record whose source says one."""
    texts = {cls.__name__: field_texts(cls) for cls in records(record)}
    for name, definition in schema.get("$defs", {}).items():
        for field, said in texts.get(name, {}).items():
            if field in definition.get("properties", {}):
                definition["properties"][field] = _with_description(definition["properties"][field], said)
    return schema


def _with_description(schema: dict[str, Any], said: str) -> dict[str, Any]:
    return schema if "description" in schema else {**schema, "description": said}


@cache
def field_texts(record: type[msgspec.Struct]) -> dict[str, str]:
    """Name of a field, as documents write it -> the text under it, those of its bases too. {} without a source."""
    inherited = [field_texts(base) for base in record.__bases__ if issubclass(base, msgspec.Struct)]
    return {name: text for texts in (*inherited, _own_texts(record)) for name, text in texts.items()}


def _own_texts(record: type[msgspec.Struct]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(record))
    except (OSError, TypeError):
        return {}
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    written_as = {field.name: field.encode_name for field in msgspec.structs.fields(record)}
    texts: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            texts[written_as[field.target.id]] = " ".join(text.value.value.split())
    return texts


def records(record: Any) -> Iterator[type[msgspec.Struct]]:
    """The record, and every one that its fields hold, each once."""
    seen: set[type] = set()
    waiting = [msgspec.inspect.type_info(record)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            yield info.cls
        waiting += _inside(info)


def _inside(info: Any) -> Iterator[msgspec.inspect.Type]:
    match info:
        case msgspec.inspect.StructType():
            yield from (field.type for field in info.fields)
        case msgspec.inspect.UnionType():
            yield from info.types
        case msgspec.inspect.DictType():
            yield info.value_type
        case msgspec.inspect.TupleType():
            yield from info.item_types
        case msgspec.inspect.Metadata():
            yield info.type
        case msgspec.inspect.CollectionType():
            yield info.item_type
        case _:
            return
