"""What a command prints as JSON, held against the schema that is published for it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from advisor.report.schema import json_schema
from trainers.foreign.records import encode


def validated(name: str, printed: Any) -> Any:
    """The document as a script reads it. Raises ValidationError where `rules schema NAME` says otherwise.

    A field that the schema does not name is refused too, although scripts have to expect one: nobody described it.
    """
    document = json.loads(encode(printed))
    schema = json_schema(name)
    for record in schema["$defs"].values():
        if record.get("type") == "object" and "properties" in record:
            record["additionalProperties"] = False
    jsonschema.Draft202012Validator(schema).validate(document)
    return document
