"""Parameters and outputs: what the person who deploys sees."""

import re
from collections.abc import Iterator

# What nobody else can know. Everything else has a default.
GIVEN = {"DatabaseSecretArn", "AlertEmail", "PagerUrl", "WorkspaceId", "ChannelId"}


def parameters_are_described_and_bounded(template: dict) -> Iterator[str]:
    for name, parameter in template["Parameters"].items():
        if not parameter.get("Type"):
            yield f"{name} has no type"
        if len(parameter.get("Description", "")) < 10:
            yield f"{name} has no description"
        numeric = parameter.get("Type") == "Number" and {"MinValue", "MaxValue"} <= parameter.keys()
        if not numeric and not {"AllowedPattern", "AllowedValues"} & parameter.keys():
            yield f"{name} has no bounds"
        if ("Default" not in parameter) != (name in GIVEN):
            yield f"{name} has no default, or needs none"
        pattern = parameter.get("AllowedPattern")
        if pattern and "Default" in parameter and not re.fullmatch(pattern, str(parameter["Default"])):
            yield f"the default of {name} is outside its own pattern"
        # `sam deploy --guided` asks for a hidden one whatever its default, and takes no empty answer.
        if parameter.get("NoEcho", False) != (name == "PagerUrl"):
            yield f"{name} is hidden, or shown, for no reason"


def outputs_say_where_everything_is(template: dict) -> Iterator[str]:
    name = {"Fn::If": ["HasProjectName", {"Ref": "ProjectName"}, {"Ref": "AWS::StackName"}]}
    values = {
        "AlertTopicArn": {"Ref": "AlertTopic"},
        "AlarmTopicArn": {"Ref": "AlarmTopic"},
        "HealthCheckFunctionArn": {"Fn::GetAtt": ["HealthCheckFunction", "Arn"]},
        "Project": {"Fn::If": ["HasEnvironmentName", {"Fn::Join": [" ", [name, {"Ref": "EnvironmentName"}]]}, name]},
        "BackfillUrl": {"Fn::Sub": "${BackfillApi.ApiEndpoint}/backfill"},
        "BackfillMachineArn": {"Ref": "BackfillMachine"},
        "PageUrl": {"Fn::Sub": "${DashboardApi.ApiEndpoint}/dashboard"},
        "DashboardUrl": {
            "Fn::Sub": [
                "https://${AWS::Region}.${Console}/cloudwatch/home"
                "?region=${AWS::Region}#dashboards/dashboard/${AWS::StackName}",
                {"Console": {"Fn::FindInMap": ["Partition", {"Ref": "AWS::Partition"}, "Console"]}},
            ]
        },
    }
    found = {name: output["Value"] for name, output in template["Outputs"].items()}
    for name in values.keys() | found.keys():
        if found.get(name) != values.get(name):
            yield f"output {name} is missing or names something else"
    for name, output in template["Outputs"].items():
        export = output.get("Export", {}).get("Name")
        if export and export != {"Fn::Sub": "${AWS::StackName}-" + name}:
            yield f"output {name} is exported under a name that another stack may have taken"
