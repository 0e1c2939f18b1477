"""The published schema describes what is written."""

from __future__ import annotations

import json

import jsonschema

from results.record import json_schema
from tests.paths import REPOSITORY

DOCUMENTED = REPOSITORY / "docs" / "record.schema.json"


def test_the_documented_schema_is_the_code_s() -> None:
    assert json.loads(DOCUMENTED.read_text()) == json_schema(), (
        "run: python -m bench schema --out docs/record.schema.json"
    )


def test_the_schema_is_a_schema_and_names_every_field_of_the_contract() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    fields = schema["$defs"]["Record"]["properties"]
    assert {"schema", "decoder", "preset", "data", "metrics", "latency", "environment", "seed"} <= fields.keys()
