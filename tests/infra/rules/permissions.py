"""Who may do what."""

import json
from collections.abc import Iterator

from rules.reading import (
    DEAD_LETTERS,
    NO_VALUE,
    arn,
    as_list,
    of_type,
    owner,
    pattern,
    statements,
)


SCHEDULE_GROUP = "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule-group/${AWS::StackName}"


def via(service: str) -> dict:
    return {"StringEquals": {"kms:ViaService": {"Fn::Sub": service + ".${AWS::Region}.${AWS::URLSuffix}"}}}


def expected_statements() -> dict[str, list[tuple]]:
    """Role -> (actions, resource, condition) of each statement it may hold."""

    def function_role(logs: str, *more: tuple) -> list[tuple]:
        return [
            (("logs:CreateLogStream", "logs:PutLogEvents"), arn(logs), None),
            (("secretsmanager:GetSecretValue",), {"Ref": "DatabaseSecretArn"}, None),
            (("kms:Decrypt",), {"Ref": "DatabaseSecretKmsKeyArn"}, via("secretsmanager")),
            (("sqs:SendMessage",), DEAD_LETTERS, None),
            *more,
        ]

    def publishing(topic: str) -> list[tuple]:
        return [
            (("sns:Publish",), {"Ref": topic}, None),
            (("kms:Decrypt", "kms:GenerateDataKey"), arn("TopicKey"), via("sns")),
        ]

    def schedule_role(function: str) -> list[tuple]:
        return [(("lambda:InvokeFunction",), arn(function), None), (("sqs:SendMessage",), DEAD_LETTERS, None)]

    return {
        "BackfillMachineRole": [
            (("lambda:InvokeFunction",), [arn("BackfillFunction"), arn("HealthCheckFunction")], None),
            *publishing("AlertTopic"),
        ],
        "HealthCheckRole": function_role("HealthCheckLogs", *publishing("AlertTopic")),
        "RecentIssuesRole": function_role("RecentIssuesLogs", *publishing("CriticalTopic")),
        "BackfillRole": function_role("BackfillLogs"),
        "DashboardRole": function_role("DashboardLogs"),
        "HealthCheckScheduleRole": schedule_role("HealthCheckFunction"),
        "RecentIssuesScheduleRole": schedule_role("RecentIssuesFunction"),
        "SlackRole": [],
    }


def every_role_holds_only_its_own_actions(template: dict) -> Iterator[str]:
    expected = expected_statements()
    roles = of_type(template, "AWS::IAM::Role")
    if set(roles) != set(expected):
        yield f"the roles are {sorted(roles)}"
    for name, role in roles.items():
        wanted = list(expected.get(name, []))
        for policy in role.get("Policies", []):
            for statement in statements(policy["PolicyDocument"]):
                actions = tuple(sorted(as_list(statement.get("Action"))))
                held = (actions, statement.get("Resource"), statement.get("Condition"))
                if statement.get("Effect") == "Allow" and held in wanted:
                    wanted.remove(held)
                else:
                    yield f"{name} holds {json.dumps(held)}"
        for missing in wanted:
            yield f"{name} lacks {json.dumps(missing)}"
        managed = role.get("ManagedPolicyArns")
        attached = {"Fn::If": ["InVpc", [{"Ref": "VpcAccess"}], NO_VALUE]}
        is_of_function = name.removesuffix("Role") + "Function" in template["Resources"]
        if managed != (attached if is_of_function else None):
            yield f"{name} has the managed policies {json.dumps(managed)}"


def every_function_and_schedule_has_its_own_role(template: dict) -> Iterator[str]:
    users = {}
    service = {}
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        users[name] = owner(function.get("Role"))
        service[users[name]] = "lambda.amazonaws.com"
    for name, schedule in of_type(template, "AWS::Scheduler::Schedule").items():
        users[name] = owner(schedule.get("Target", {}).get("RoleArn"))
        service[users[name]] = "scheduler.amazonaws.com"
    if len(set(users.values())) != len(users):
        yield f"roles are shared: {users}"
    roles = of_type(template, "AWS::IAM::Role")
    for name, role in users.items():
        if role not in roles:
            yield f"{name} uses the role {role}, which is not in the template"
            continue
        trust = roles[role]["AssumeRolePolicyDocument"]["Statement"]
        if [statement.get("Principal") for statement in trust] != [{"Service": service[role]}]:
            yield f"{role} can be assumed by {json.dumps(trust)}"
        if service[role] == "scheduler.amazonaws.com" and trust[0].get("Condition") != {
            "StringEquals": {
                "aws:SourceAccount": {"Ref": "AWS::AccountId"},
                "aws:SourceArn": {"Fn::Sub": SCHEDULE_GROUP},
            }
        }:
            yield f"{role} can be borrowed by other schedules"


# Where a `*` cannot be narrower; the template says why beside each.
STARRED = {
    ("VpcAccess", "AttachToVpc"),
    ("VpcAccess", "NotForTheCodeItself"),
    ("TopicKey", "AccountAdministersKey"),
    ("TopicKey", "AlarmsEncryptNotifications"),
}


def policy_statements(template: dict) -> Iterator[tuple[str, dict]]:
    """Every statement of every policy in the template, with the resource it stands in."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [properties[key] for key in ("PolicyDocument", "KeyPolicy") if key in properties]
        for document in documents:
            for statement in statements(document):
                yield name, statement


def no_statement_is_wider_than_it_must_be(template: dict) -> Iterator[str]:
    for name, statement in policy_statements(template):
        where = f"{name}.{statement.get('Sid')}"
        excepted = (name, statement.get("Sid")) in STARRED
        if "*" in json.dumps(statement.get("Resource", "*")) and not excepted:
            yield f"{where} covers more than one named resource"
        if any("*" in action for action in as_list(statement.get("Action", "*"))) and name != "TopicKey":
            yield f"{where} allows actions by pattern"
        if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
            yield f"{where} names what it leaves out"
        anyone = statement.get("Principal") in ("*", {"AWS": "*"})
        if anyone and statement.get("Effect") != "Deny":
            yield f"{where} lets anyone in"


def the_vpc_permissions_are_not_for_the_code(template: dict) -> Iterator[str]:
    by_effect = {"Allow": [], "Deny": []}
    for statement in statements(of_type(template, "AWS::IAM::ManagedPolicy")["VpcAccess"]["PolicyDocument"]):
        by_effect[statement["Effect"]].append(statement)
    allowed = {action for statement in by_effect["Allow"] for action in statement["Action"]}
    denied = {action for statement in by_effect["Deny"] for action in statement["Action"]}
    if allowed - denied:
        yield f"the functions' own code may use {sorted(allowed - denied)}"
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        for statement in by_effect["Deny"]:
            covered = statement["Condition"].get("ArnEquals", {}).get("lambda:SourceFunctionArn", [])
            suffix = ":function:" + pattern(function.get("FunctionName"))
            if not any(pattern(function_arn).endswith(suffix) for function_arn in covered):
                yield f"{name} is not covered by the denial"
