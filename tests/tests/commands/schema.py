"""Reads `[schema, [[what was typed, answer], ...]]`; prints where an answer is not as the schema says."""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker


def closed(schema):
    """The schema, with nothing allowed that it does not describe: clients may meet more, tests may not."""
    for definition in [schema, *schema["$defs"].values()]:
        for place in places(definition):
            if "$ref" in place or "anyOf" in place or "properties" in place:
                place["unevaluatedProperties"] = False
    return {**schema, "unevaluatedProperties": False}


def places(schema):
    """The schemas of fields and of items of arrays."""
    for branch in [schema, *schema.get("oneOf", [])]:
        for field in branch.get("properties", {}).values():
            yield field
            if isinstance(field.get("items"), dict):
                yield field["items"]


schema, answers = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
reports = {branch["properties"]["report"]["const"]: branch for branch in schema["oneOf"]}
schema = closed(schema)
for typed, answer in answers:
    # by that of its own report alone, so that what is said is about that one
    report = reports.get(answer.get("report"), False)
    validator = Draft202012Validator({**schema, "oneOf": [report]}, format_checker=FormatChecker())
    for error in validator.iter_errors(answer):
        for cause in error.context or [error]:
            print(f"{typed}: {cause.json_path}: {cause.message[:300]}")
