"""The templates as CloudFormation gets to see them: after the SAM transform, without an AWS account."""

import copy
import functools
import json
import os
from pathlib import Path

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

INFRA = Path(__file__).resolve().parents[2] / "infra"
TEMPLATES = ("template", "repair", "dashboard", "pager", "slack")


def path(name: str) -> Path:
    return INFRA / f"{name}.yaml"


@functools.cache
def source(name: str) -> dict:
    """A template as it is written."""
    return yaml_parse(path(name).read_text(encoding="utf-8"))


@functools.cache
def transformed(name: str) -> dict:
    """Plain CloudFormation. Shared between tests: copy before changing it."""
    template = copy.deepcopy(source(name))
    for resource in template["Resources"].values():
        # The transform wants uploaded code; `sam deploy` replaces the folder in the same way.
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/key"
    # The transform asks for a region, for the partition it writes into some ARNs, and calls nothing.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    return Translator(managed_policy_map={}, sam_parser=Parser()).translate(template, parameter_values={})


@functools.cache
def together() -> dict:
    """All of them as one template would be: what one imports from the core is what the core exports."""
    core = transformed("template")
    exports = {output["Export"]["Name"]["Fn::Sub"]: output["Value"] for output in core["Outputs"].values()}

    def resolved(value):
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "Fn::ImportValue" in value:
            return exports[of_core(value["Fn::ImportValue"]["Fn::Sub"])]
        if value == {"Ref": "Core"}:
            return {"Ref": "AWS::StackName"}
        if isinstance(value.get("Fn::Sub"), str):
            return {"Fn::Sub": of_core(value["Fn::Sub"])}
        if "Fn::Sub" in value:
            text, variables = value["Fn::Sub"]
            return {"Fn::Sub": [of_core(text), resolved(variables)]}
        return {key: resolved(item) for key, item in value.items()}

    everything = {"Parameters": {}, "Resources": {}, "Outputs": {}}
    for name in TEMPLATES:
        template = resolved(transformed(name))
        for section, merged in everything.items():
            for key, item in template.get(section, {}).items():
                if section == "Resources" and key in merged:
                    raise ValueError(f"{key} is in two templates")
                merged.setdefault(key, item)
    return everything


def of_core(text: str) -> str:
    return text.replace("${Core}", "${AWS::StackName}")


if __name__ == "__main__":
    # for tests in other languages
    print(json.dumps({name: transformed(name) for name in TEMPLATES}))
