"""Schedules, retries, and where failures end."""

import json
from collections.abc import Iterator

from rules.reading import DEAD_LETTERS, FUNCTIONS, SCHEDULES, of_type, owner
from schedule import seconds_between_runs


def schedules_are_valid_and_retried(template: dict) -> Iterator[str]:
    targets = {}
    for name, schedule in of_type(template, "AWS::Scheduler::Schedule").items():
        target = schedule.get("Target", {})
        function = owner(target.get("Arn"))
        targets[function] = schedule
        expression = schedule.get("ScheduleExpression", "")
        try:
            period = seconds_between_runs(expression)
        except ValueError as reason:
            yield f"{name}: {reason}"
            continue
        if expression != SCHEDULES.get(function):
            yield f"{name} runs at {expression}"
        if schedule.get("State", "ENABLED") != "ENABLED":
            yield f"{name} is disabled"
        if schedule.get("FlexibleTimeWindow") != {"Mode": "OFF"}:
            yield f"{name} may run late"
        if schedule.get("GroupName") != {"Ref": "ScheduleGroup"}:
            yield f"{name} is outside the stack's group, where its name could be taken"
        if target.get("DeadLetterConfig") != {"Arn": DEAD_LETTERS}:
            yield f"{name} has no dead-letter queue"
        retry = target.get("RetryPolicy", {})
        if not 1 <= retry.get("MaximumRetryAttempts", 0) <= 185:
            yield f"{name} is not retried"
        # Shorter than its own period, so that no event competes with the next one; the service's minimum is a minute.
        if not 60 <= retry.get("MaximumEventAgeInSeconds", 0) < period:
            yield f"{name} keeps its events as long as its period, or longer"
        try:
            json.loads(target.get("Input", ""))
        except ValueError:
            yield f"{name} has no JSON input"
    # The schedules' roles trust the group by this name.
    groups = of_type(template, "AWS::Scheduler::ScheduleGroup")
    if groups != {"ScheduleGroup": {"Name": {"Ref": "AWS::StackName"}}}:
        yield f"the schedule groups are {json.dumps(groups)}"
    if set(targets) != set(SCHEDULES):
        yield f"the scheduled functions are {sorted(map(str, targets))}"


def failed_invocations_are_kept(template: dict) -> Iterator[str]:
    configs = {
        config.get("FunctionName", {}).get("Ref"): config
        for config in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    }
    for function in FUNCTIONS:
        config = configs.get(function)
        if config is None:
            yield f"{function} has Lambda's default retries and loses what fails"
            continue
        if config.get("MaximumRetryAttempts") not in (0, 1):
            yield f"{function} is repeated {config.get('MaximumRetryAttempts')} times"
        if not 60 <= config.get("MaximumEventAgeInSeconds", 0) <= 3600:
            yield f"{function} keeps events for {config.get('MaximumEventAgeInSeconds')} s"
        if config.get("DestinationConfig", {}).get("OnFailure") != {"Destination": DEAD_LETTERS}:
            yield f"{function} has no destination for failures"
    for name, queue in of_type(template, "AWS::SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in queue:
            yield f"{name} is not encrypted"
        if queue.get("MessageRetentionPeriod") != 1209600:
            yield f"{name} forgets before fourteen days"
