"""Executes infra/backfill.asl.json in moto's interpreter and prints what came of it as JSON.

Its Lambda tasks go to an HTTP address (first argument): POST /<function>, the event as body; status 500 is an error of
the function itself, as Lambda reports a crash.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

REGION = "us-east-1"
DEFINITION = Path(__file__).resolve().parents[2] / "infra" / "backfill.asl.json"
TRUST = '{"Version":"2012-10-17","Statement":[]}'


def route_lambda_to(address: str) -> None:
    def invoke(self, function_name, qualifier, body, headers, response_headers):
        name = function_name.rsplit(":", 1)[-1]
        text = body if isinstance(body, str) else (body or b"{}").decode()
        request = urllib.request.Request(f"{address}/{name}", data=text.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            response_headers["x-amz-function-error"] = "Unhandled"
            return error.read()

    LambdaSimpleBackend.invoke = invoke


def definition(substitutions: dict) -> str:
    text = DEFINITION.read_text(encoding="utf-8")
    for name, value in substitutions.items():
        text = text.replace("${" + name + "}", value)
    assert not re.search(r"\$\{\w+\}", text), "a substitution is missing"
    return text


@mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}})
def main(address: str) -> None:
    route_lambda_to(address)
    client = {name: boto3.client(name, region_name=REGION) for name in ("iam", "lambda", "sns", "stepfunctions")}
    role = client["iam"].create_role(RoleName="any", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    arns = {}
    for name in ("backfill", "health-check"):
        arns[name] = client["lambda"].create_function(
            FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=role, Code={"ZipFile": b"none"}
        )["FunctionArn"]
    topic = client["sns"].create_topic(Name="alerts")["TopicArn"]
    machine = client["stepfunctions"].create_state_machine(
        name="backfill",
        roleArn=role,
        definition=definition(
            {
                "Partition": "aws",
                "BackfillFunctionArn": arns["backfill"],
                "HealthCheckFunctionArn": arns["health-check"],
                "AlertTopicArn": topic,
                "Project": "example production",
            }
        ),
    )["stateMachineArn"]
    execution = client["stepfunctions"].start_execution(stateMachineArn=machine, name="repair-1", input="{}")["executionArn"]
    while True:
        state = client["stepfunctions"].describe_execution(executionArn=execution)
        if state["status"] != "RUNNING":
            break
        time.sleep(0.1)
    messages = [note[1:3] for note in sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[topic].sent_notifications]
    print(
        json.dumps(
            {
                "status": state["status"],
                "error": state.get("error"),
                "cause": state.get("cause"),
                "messages": messages,
            }
        )
    )


if __name__ == "__main__":
    import os

    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION=REGION)
    main(sys.argv[1])
