"""Who may do what."""

import json
from collections.abc import Iterator

from rules.reading import arn, as_list, of_type, owner, statements

OF_STACK = "${AWS::Region}:${AWS::AccountId}"


def in_stack(service: str, resource: str) -> dict:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{service}:{OF_STACK}:{resource}"}


def expected_statements() -> dict[str, list[tuple]]:
    """Role -> (actions, resource, condition) of each statement it may hold outside a VPC."""

    def function_role(logs: str) -> list[tuple]:
        return [
            (("logs:CreateLogStream", "logs:PutLogEvents"), arn(logs), None),
            (("secretsmanager:GetSecretValue",), {"Ref": "DatabaseSecretArn"}, None),
            (
                ("kms:Decrypt",),
                {"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:*:key/*"},
                {
                    "StringEquals": {
                        "kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"},
                        "kms:EncryptionContext:SecretARN": {"Ref": "DatabaseSecretArn"},
                    }
                },
            ),
        ]

    publish = (("sns:Publish",), {"Ref": "AlertTopic"}, None)
    checks = [arn("HealthCheckFunction"), arn("RecentIssuesFunction")]
    slices = [arn("BackfillFunction"), arn("HealthCheckFunction")]
    return {
        "CheckRole": [*function_role("Logs"), publish],
        "BackfillRole": function_role("BackfillLogs"),
        "DashboardRole": function_role("DashboardLogs"),
        "ScheduleRole": [(("lambda:InvokeFunction",), checks, None)],
        "BackfillMachineRole": [(("lambda:InvokeFunction",), slices, None), publish],
        "SlackRole": [],
    }


# Who may take a role, and for which resource of this stack.
TRUSTED = {
    "CheckRole": ("lambda.amazonaws.com", None),
    "BackfillRole": ("lambda.amazonaws.com", None),
    "DashboardRole": ("lambda.amazonaws.com", None),
    "ScheduleRole": ("scheduler.amazonaws.com", in_stack("scheduler", "schedule-group/${AWS::StackName}")),
    "BackfillMachineRole": ("states.amazonaws.com", in_stack("states", "stateMachine:${AWS::StackName}-backfill")),
    "SlackRole": ("chatbot.amazonaws.com", None),
}


def every_role_holds_only_its_own_actions(template: dict) -> Iterator[str]:
    roles = of_type(template, "AWS::IAM::Role")
    expected = expected_statements()
    if set(roles) != set(expected):
        yield f"the roles are {sorted(roles)}"
    for name, role in roles.items():
        allowed = [
            (tuple(sorted(as_list(statement.get("Action")))), statement.get("Resource"), statement.get("Condition"))
            for condition, statement in statements(role)
            if condition is None and statement.get("Effect") == "Allow"
        ]
        for statement in allowed:
            if statement not in expected.get(name, []):
                yield f"{name} holds {json.dumps(statement)}"
        for statement in expected.get(name, []):
            if statement not in allowed:
                yield f"{name} lacks {json.dumps(statement)}"
        if "ManagedPolicyArns" in role:
            yield f"{name} has managed policies"


def every_role_is_for_its_user_alone(template: dict) -> Iterator[str]:
    users = {"CheckRole": {"HealthCheckFunction", "RecentIssuesFunction"}}
    users |= {"BackfillRole": {"BackfillFunction"}, "DashboardRole": {"DashboardFunction"}}
    found = {}
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        found.setdefault(owner(function.get("Role")), set()).add(name)
    if found != users:
        yield f"the functions' roles are {found}"
    for name, role in of_type(template, "AWS::IAM::Role").items():
        service, source = TRUSTED.get(name, (None, None))
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        if source:
            condition = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}, "aws:SourceArn": source}
            trust["Condition"] = {"StringEquals": condition}
        if role["AssumeRolePolicyDocument"]["Statement"] != [trust]:
            yield f"{name} can be assumed by {json.dumps(role['AssumeRolePolicyDocument']['Statement'])}"


def the_vpc_permissions_are_not_for_the_code(template: dict) -> Iterator[str]:
    """Lambda attaches a function to its VPC by the function's own role; the code in it has no business there."""
    for name in ("CheckRole", "BackfillRole", "DashboardRole"):
        role = template["Resources"][name]["Properties"]
        in_vpc = [statement for condition, statement in statements(role) if condition == "InVpc"]
        allowed = [action for s in in_vpc if s["Effect"] == "Allow" for action in s["Action"]]
        if len(allowed) != 6 or not all(action.startswith("ec2:") for action in allowed):
            yield f"{name} may do {allowed} in a VPC"
        denied = [(s["Action"], s["Resource"], s.get("Condition")) for s in in_vpc if s["Effect"] == "Deny"]
        if denied != [("ec2:*", "*", {"Null": {"lambda:SourceFunctionArn": "false"}})]:
            yield f"the code of {name} may use the VPC's permissions"
