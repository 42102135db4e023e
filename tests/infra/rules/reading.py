"""Reading a transformed template."""

from collections.abc import Iterator

FUNCTIONS = ("HealthCheckFunction", "RecentIssuesFunction", "BackfillFunction", "DashboardFunction")
# What is scheduled, and the parameter that says every how many minutes.
SCHEDULES = {"HealthCheckFunction": "HealthCheckMinutes", "RecentIssuesFunction": "RecentIssuesMinutes"}
NO_VALUE = {"Ref": "AWS::NoValue"}


def arn(resource: str) -> dict:
    return {"Fn::GetAtt": [resource, "Arn"]}


def owner(value) -> str | None:
    """The resource whose attribute a value is, if it is one."""
    return value["Fn::GetAtt"][0] if isinstance(value, dict) and "Fn::GetAtt" in value else None


def pattern(value) -> str:
    """The text of a substitution, empty for anything else."""
    return value.get("Fn::Sub", "") if isinstance(value, dict) else ""


def of_type(template: dict, kind: str) -> dict[str, dict]:
    """Properties of every resource of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def statements(role: dict) -> Iterator[tuple[str | None, dict]]:
    """Every statement that a role can have, with the condition that it depends on."""
    for policy in role.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            condition = None
            if "Fn::If" in statement:
                condition, statement, _ = statement["Fn::If"]
            yield condition, statement
