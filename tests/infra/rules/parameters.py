"""Parameters and outputs: what the person who deploys sees."""

import re
from collections.abc import Iterator


def parameters_are_described_and_bounded(template: dict) -> Iterator[str]:
    for name, parameter in template["Parameters"].items():
        if not parameter.get("Type"):
            yield f"{name} has no type"
        if len(parameter.get("Description", "")) < 10:
            yield f"{name} has no description"
        numeric = parameter.get("Type") == "Number" and {"MinValue", "MaxValue"} <= parameter.keys()
        if not numeric and not {"AllowedPattern", "AllowedValues"} & parameter.keys():
            yield f"{name} has no bounds"
        if "Default" not in parameter and name != "DatabaseSecretArn":
            yield f"{name} has no default"
        pattern = parameter.get("AllowedPattern")
        if pattern and "Default" in parameter and not re.fullmatch(pattern, str(parameter["Default"])):
            yield f"the default of {name} is outside its own pattern"


def outputs_say_where_everything_is(template: dict) -> Iterator[str]:
    values = {
        "BackfillUrl": {"Fn::Sub": "${BackfillApi.ApiEndpoint}/backfill"},
        "DashboardPageUrl": {"Fn::Sub": "${BackfillApi.ApiEndpoint}/dashboard"},
        "DashboardFunctionName": {"Ref": "DashboardFunction"},
        "AlertTopicArn": {"Ref": "AlertTopic"},
        "CriticalTopicArn": {"Ref": "CriticalTopic"},
        "DashboardUrl": {
            "Fn::Sub": "https://console.${AWS::URLSuffix}/cloudwatch/home"
            "?region=${AWS::Region}#dashboards/dashboard/${AWS::StackName}"
        },
        "DeadLetterQueueUrl": {"Ref": "DeadLetterQueue"},
        "HealthCheckFunctionName": {"Ref": "HealthCheckFunction"},
        "RecentIssuesFunctionName": {"Ref": "RecentIssuesFunction"},
        "BackfillFunctionName": {"Ref": "BackfillFunction"},
    }
    outputs = template["Outputs"]
    for name, value in values.items():
        if outputs.get(name, {}).get("Value") != value:
            yield f"output {name} is missing or names something else"
    for name, output in outputs.items():
        if not output.get("Description"):
            yield f"output {name} has no description"
