"""The template as CloudFormation gets to see it: after the SAM transform, without an AWS account."""

import copy
import functools
import os
from pathlib import Path

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "template.yaml"


@functools.cache
def source() -> dict:
    """The template as it is written."""
    return yaml_parse(TEMPLATE.read_text(encoding="utf-8"))


@functools.cache
def transformed() -> dict:
    """Plain CloudFormation. Shared between tests: copy before changing it."""
    template = copy.deepcopy(source())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # The transform wants uploaded code; `sam deploy` replaces the folder in the same way.
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/key"
    # The transform asks for a region, for the partition it writes into some ARNs, and calls nothing.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    return Translator(managed_policy_map={}, sam_parser=Parser()).translate(template, parameter_values={})
