"""Reading a transformed template."""

from collections.abc import Iterator

FUNCTIONS = ("HealthCheckFunction", "RecentIssuesFunction", "BackfillFunction", "DashboardFunction")
SCHEDULES = {"HealthCheckFunction": "rate(1 hour)", "RecentIssuesFunction": "rate(5 minutes)"}
TIMEOUTS = {"HealthCheckFunction": 60, "RecentIssuesFunction": 30, "BackfillFunction": 28, "DashboardFunction": 28}
NO_VALUE = {"Ref": "AWS::NoValue"}


def arn(resource: str) -> dict:
    return {"Fn::GetAtt": [resource, "Arn"]}


DEAD_LETTERS = arn("DeadLetterQueue")


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


def statements(document: dict) -> Iterator[dict]:
    """Every statement a policy can have, conditional ones included."""
    for statement in as_list(document["Statement"]):
        if "Fn::If" in statement:
            yield from (branch for branch in statement["Fn::If"][1:] if branch != NO_VALUE)
        else:
            yield statement
