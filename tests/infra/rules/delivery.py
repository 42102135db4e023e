"""Schedules and retries."""

import json
from collections.abc import Iterator

from rules.reading import SCHEDULES, of_type, owner, pattern
from schedule import seconds_between_runs


def minutes(template: dict, function: str) -> set[int]:
    """The shortest, the usual and the longest time between two runs."""
    parameter = template["Parameters"][SCHEDULES[function]]
    return {parameter[bound] for bound in ("MinValue", "Default", "MaxValue")}


def schedules_are_valid_and_retried(template: dict) -> Iterator[str]:
    targets = {}
    for name, schedule in of_type(template, "AWS::Scheduler::Schedule").items():
        target = schedule.get("Target", {})
        function = owner(target.get("Arn"))
        targets[function] = schedule
        expression = pattern(schedule.get("ScheduleExpression"))
        if expression != f"rate(${{{SCHEDULES.get(function)}}} minutes)":
            yield f"{name} runs at {expression}"
            continue
        for every in minutes(template, function):
            try:
                period = seconds_between_runs(expression.replace(f"${{{SCHEDULES[function]}}}", str(every)))
            except ValueError as reason:
                yield f"{name}: {reason}"
                continue
            # Shorter than the time between two runs, so that no event competes with the next; a minute at least.
            if not 60 <= target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 86400) < period:
                yield f"{name} keeps its events as long as its period, or longer"
        if not 1 <= target.get("RetryPolicy", {}).get("MaximumRetryAttempts", 0) <= 185:
            yield f"{name} is not retried"
        if schedule.get("State", "ENABLED") != "ENABLED":
            yield f"{name} is disabled"
        if schedule.get("FlexibleTimeWindow") != {"Mode": "OFF"}:
            yield f"{name} may run late"
        if schedule.get("GroupName") != {"Ref": "ScheduleGroup"}:
            yield f"{name} is outside the stack's group, where its name could be taken"
        if owner(target.get("RoleArn")) != "ScheduleRole":
            yield f"{name} has another role"
    # The schedules' role trusts the group by this name.
    groups = of_type(template, "AWS::Scheduler::ScheduleGroup")
    if groups != {"ScheduleGroup": {"Name": {"Ref": "AWS::StackName"}}}:
        yield f"the schedule groups are {json.dumps(groups)}"
    if set(targets) != set(SCHEDULES):
        yield f"the scheduled functions are {sorted(map(str, targets))}"


def failed_invocations_are_repeated_by_what_started_them(template: dict) -> Iterator[str]:
    """A check once more, a minute after it ended; a repair not at all: its caller decides."""
    configs = {
        config["FunctionName"]["Ref"]: (config.get("MaximumRetryAttempts"), config.get("MaximumEventAgeInSeconds"))
        for config in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    }
    wanted = {"HealthCheckFunction": (1, 1800), "RecentIssuesFunction": (1, 240), "BackfillFunction": (0, 900)}
    for function, limits in wanted.items():
        if configs.get(function) != limits:
            yield f"{function} is repeated by {configs.get(function)}"
