"""The functions themselves: code, limits, environment, logs."""

import json
import re
from collections.abc import Iterator

from rules.reading import FUNCTIONS, NO_VALUE, of_type, pattern

# API Gateway waits 30 seconds; people wait for these two.
TIMEOUTS = {
    "HealthCheckFunction": {"Ref": "HealthCheckTimeout"},
    "RecentIssuesFunction": {"Ref": "RecentIssuesTimeout"},
    "BackfillFunction": 28,
    "DashboardFunction": 28,
}
LOGS = {
    "HealthCheckFunction": "Logs",
    "RecentIssuesFunction": "Logs",
    "BackfillFunction": "BackfillLogs",
    "DashboardFunction": "DashboardLogs",
}


def functions_run_native_arm64_code(template: dict) -> Iterator[str]:
    functions = of_type(template, "AWS::Lambda::Function")
    if set(functions) != set(FUNCTIONS):
        yield f"the functions are {sorted(functions)}"
    for name, function in functions.items():
        if function.get("Architectures") != ["arm64"]:
            yield f"{name} is not arm64"
        if function.get("Runtime") != "provided.al2023" or function.get("Handler") != "bootstrap":
            yield f"{name} is not a native program on provided.al2023"
        if function.get("Timeout") != TIMEOUTS.get(name):
            yield f"{name} has the timeout {function.get('Timeout')}"
        # Two stacks in one region differ in their name.
        if not pattern(function.get("FunctionName")).startswith("${AWS::StackName}-"):
            yield f"{name} has a name that another stack may have taken"
        # A new account has ten, and Lambda refuses to reserve any of them.
        if "ReservedConcurrentExecutions" in function:
            yield f"{name} reserves concurrency"


def functions_join_a_vpc_only_when_asked(template: dict) -> Iterator[str]:
    vpc = {
        "SubnetIds": {"Ref": "SubnetIds"},
        "SecurityGroupIds": {"Ref": "SecurityGroupIds"},
        "Ipv6AllowedForDualStack": {"Ref": "DualStack"},
    }
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        if function.get("VpcConfig") != {"Fn::If": ["InVpc", vpc, NO_VALUE]}:
            yield f"{name} does not take its VPC from the parameters"


def environment_is_complete_and_holds_no_secret(template: dict) -> Iterator[str]:
    database = {
        "DATABASE_SECRET_ARN": {"Ref": "DatabaseSecretArn"},
        "DATABASE_CA_CERT": {"Fn::If": ["HasCaCert", {"Ref": "DatabaseCaCert"}, NO_VALUE]},
    }

    def check(name: str) -> dict:
        return {
            "ALERT_TOPIC_ARN": {"Ref": "AlertTopic"},
            "ALERT_MIN_MISSING": {"Ref": f"{name}MinMissing"},
            "ALERT_MIN_PERCENT": {"Ref": f"{name}MinPercent"},
            "ALERT_REMINDER_MINUTES": {"Ref": "ReminderMinutes"},
            "PROJECT_NAME": {"Fn::If": ["HasProjectName", {"Ref": "ProjectName"}, {"Ref": "AWS::StackName"}]},
            "ENVIRONMENT_NAME": {"Ref": "EnvironmentName"},
            "DASHBOARD_URL": {"Ref": "DashboardUrl"},
            "GUIDE_URL": {"Ref": "GuideUrl"},
            "PROBE": {"Ref": "Probe"},
        }

    own = {
        "HealthCheckFunction": check("HealthCheck"),
        "RecentIssuesFunction": check("RecentIssues"),
        "DashboardFunction": {
            "DASHBOARD_FRAME_ANCESTORS": {"Ref": "FrameAncestors"},
            "PROJECT_NAME": template["Outputs"]["Project"]["Value"],
        },
    }
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        variables = function.get("Environment", {}).get("Variables", {})
        expected = database | own.get(name, {})
        for key in expected.keys() | variables.keys():
            if variables.get(key) != expected.get(key):
                yield f"{name}: {key} is {json.dumps(variables.get(key))}"
        # Whatever the list above allows one day: these resolve to the secret itself when the stack is deployed.
        if re.search(r"\{\{resolve:(secretsmanager|ssm-secure)|postgres(ql)?://|password", json.dumps(variables), re.I):
            yield f"{name} has a secret in its environment"


def logs_are_kept_for_a_bounded_time(template: dict) -> Iterator[str]:
    for name, group in of_type(template, "AWS::Logs::LogGroup").items():
        if group.get("RetentionInDays") != {"Ref": "LogRetentionDays"}:
            yield f"{name} has no retention"
        if "/${AWS::StackName}" not in pattern(group.get("LogGroupName")):
            yield f"{name} has a name that another stack may have taken"
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        wanted = {"LogGroup": {"Ref": LOGS[name]}, "LogFormat": "JSON"}
        # Above INFO it would drop what is not our own JSON, such as a panic, and how long a run took.
        wanted |= {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
        if function.get("LoggingConfig") != wanted:
            yield f"{name} logs by {json.dumps(function.get('LoggingConfig'))}"
