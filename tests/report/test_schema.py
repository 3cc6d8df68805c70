"""The published JSON Schemas accept what the program writes, and refuse what it would not."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import msgspec
import pytest

from advisor.ask.answers import Layer, resolve, to_toml
from advisor.report.document import answer_document
from advisor.report.documents import DOCUMENTS
from advisor.report.schema import NAMES, json_schema
from tests.commands.wizard.test_form import EVERYTHING
from tests.report import made_by_hand as made
from trainers.foreign.records import encode
from trainers.plan import plan_to_dict


def validate(name: str, document: object) -> None:
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(msgspec.json.encode(document)))


@pytest.mark.parametrize("make", [made.recommendation, made.nothing_fits, made.gated])
def test_recommendations(make):
    validate("recommendation", json.loads(encode(answer_document(make()))))
    validate("recommendation", json.loads(encode(answer_document(make(), trace=True))))


def test_a_recommendation_of_the_real_advisor(real_recommendation):
    validate("recommendation", json.loads(encode(answer_document(real_recommendation))))
    assert real_recommendation.best is not None
    validate("plan", plan_to_dict(real_recommendation.best.plan))
    validate("hardware", json.loads(encode(real_recommendation.hardware)))


def test_plans_and_hardware():
    validate("plan", plan_to_dict(made.plan("qlora")))
    validate("hardware", json.loads(encode(made.hardware())))


def test_answers_files():
    explicit = resolve(Layer("flag", EVERYTHING)).explicit
    validate("answers", tomllib.loads(to_toml(explicit)))
    validate("answers", {"model": "m", "storage": {"budget_bytes": "1.5 GiB"}})


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("answers", {"model": 3}),
        ("answers", {"modle": "m"}),
        ("answers", {"task": {"count": 0}}),
        ("answers", {"task": {"priority": "speed"}}),
        ("answers", {"storage": {"budget_bytes": "50"}}),
        ("plan", {"method": "lora"}),
        ("plan", {"model": {"name": "m"}, "method": "sft"}),
        ("recommendation", {"verdict": "recommended"}),
        ("hardware", {"gpus": 3}),
    ],
)
def test_what_is_refused(name, document):
    with pytest.raises(jsonschema.ValidationError):
        validate(name, document)


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_carries_the_version_that_its_documents_name(name):
    schema = json_schema(name)
    assert schema["$id"] == f"sft-advisor/{name}/{'v2' if name == 'recommendation' else 'v1'}"
    if "$ref" in schema and "schema" in (fields := schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]):
        assert fields["schema"]["enum"] == [schema["$id"]]
    else:
        assert DOCUMENTS[name].is_list or name in {"run", "chat", "retention", "score"}
    assert msgspec.json.encode(schema)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_every_document_is_described(name):
    definitions = json_schema(name)["$defs"]
    fields = [(record, field) for record, each in definitions.items() for field in each.get("properties", {})]
    assert fields
    bare = [pair for pair in fields if "description" not in definitions[pair[0]]["properties"][pair[1]]]
    assert bare == []
