"""The functions themselves: code, limits, environment, logs."""

import json
import re
from collections.abc import Iterator

from rules.reading import FUNCTIONS, NO_VALUE, TIMEOUTS, of_type, pattern


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


def functions_have_reserved_concurrency(template: dict) -> Iterator[str]:
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        match function.get("ReservedConcurrentExecutions"):
            case {"Fn::If": ["ReservesConcurrency", int(reserved), {"Ref": "AWS::NoValue"}]} if 1 <= reserved <= 10:
                pass
            case other:
                yield f"{name} reserves {other}"
    if template["Parameters"].get("ReserveConcurrency", {}).get("Default") != "true":
        yield "concurrency is not reserved by default"


def functions_join_a_vpc_only_when_asked(template: dict) -> Iterator[str]:
    vpc = {"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": {"Ref": "SecurityGroupIds"}}
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        if function.get("VpcConfig") != {"Fn::If": ["InVpc", vpc, NO_VALUE]}:
            yield f"{name} does not take its VPC from the parameters"
    if template["Resources"]["VpcAccess"].get("Condition") != "InVpc":
        yield "the VPC policy exists without a VPC"


def limits(check: str) -> dict:
    """When a check alerts, and again."""
    return {
        "ALERT_MIN_MISSING": {"Ref": f"{check}MinMissing"},
        "ALERT_MIN_PERCENT": {"Ref": f"{check}MinPercent"},
        "ALERT_REMINDER_MINUTES": {"Ref": "ReminderMinutes"},
    }


def environment_is_complete_and_holds_no_secret(template: dict) -> Iterator[str]:
    shared = {
        "DATABASE_SECRET_ARN": {"Ref": "DatabaseSecretArn"},
        "DATABASE_CA_CERT": {"Fn::If": ["HasCaCert", {"Ref": "DatabaseCaCert"}, NO_VALUE]},
        "RUST_LOG": {"Ref": "LogLevel"},
    }
    own = {
        "HealthCheckFunction": {
            "ALERT_TOPIC_ARN": {"Ref": "AlertTopic"}, "PROBE": {"Ref": "ProbeSignups"}, **limits("HealthCheck")
        },
        "RecentIssuesFunction": {
            "CRITICAL_TOPIC_ARN": {"Ref": "CriticalTopic"}, "PROBE": {"Ref": "ProbeSignups"}, **limits("RecentIssues")
        },
        "BackfillFunction": {},
        "DashboardFunction": {"DASHBOARD_FRAME_ANCESTORS": {"Ref": "DashboardFrameAncestors"}},
    }
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        variables = function.get("Environment", {}).get("Variables", {})
        expected = shared | own.get(name, {})
        for key in expected.keys() - variables.keys():
            yield f"{name} lacks {key}"
        for key in variables.keys() - expected.keys():
            yield f"{name} has the unexpected variable {key}"
        for key in expected.keys() & variables.keys():
            if variables[key] != expected[key]:
                yield f"{name}: {key} is {json.dumps(variables[key])}"
        # Whatever the list above allows one day: these resolve to the secret itself when the stack is deployed.
        if re.search(r"\{\{resolve:(secretsmanager|ssm-secure)|postgres(ql)?://|password", json.dumps(variables), re.I):
            yield f"{name} has a secret in its environment"


def logs_are_kept_for_a_bounded_time(template: dict) -> Iterator[str]:
    groups = of_type(template, "AWS::Logs::LogGroup")
    for name, group in groups.items():
        if group.get("RetentionInDays") != {"Ref": "LogRetentionDays"}:
            yield f"{name} has no retention"
    owners = {}
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        config = function.get("LoggingConfig", {})
        group = config.get("LogGroup", {}).get("Ref")
        if group not in groups:
            yield f"{name} logs to a group without retention"
            continue
        if group in owners:
            yield f"{name} and {owners[group]} share a log group"
        owners[group] = name
        wanted = pattern(function.get("FunctionName"))
        if groups[group].get("LogGroupName") != {"Fn::Sub": "/aws/lambda/" + wanted}:
            yield f"{name}: people will not find its log group"
        if config.get("LogFormat") != "JSON":
            yield f"{name} does not log JSON"
        if config.get("SystemLogLevel") != "INFO":
            yield f"{name} does not log the duration of its runs"
    # A threshold above INFO would drop what is not our own JSON, such as the text of a panic.
    for level, threshold in template["Mappings"]["LambdaLogLevel"].items():
        wanted = {"debug": "DEBUG", "trace": "TRACE"}.get(level, "INFO")
        if threshold != {"Threshold": wanted}:
            yield f"LogLevel {level} has Lambda's threshold at {threshold}"
