"""Alarms on the checks themselves, and on what they report."""

import json
from collections.abc import Iterator

from rules.reading import FUNCTIONS, NO_VALUE, SCHEDULES, of_type, owner, pattern
from schedule import seconds_between_runs

ALERTS = [{"Ref": "AlertTopic"}]
# People are told of a verdict by the check itself; its alarm is for the pager alone.
PAGER_ONLY = {"Fn::If": ["HasPagerDuty", [{"Ref": "CriticalTopic"}], NO_VALUE]}
PAGER_TOO = {"Fn::If": ["HasPagerDuty", [{"Ref": "AlertTopic"}, {"Ref": "CriticalTopic"}], ALERTS]}
# What the functions print (functions/*/src/main.rs), by function.
METRICS = {
    "HealthCheckFunction": {"Verdict", "Missing", "RecentSignups", "RecentMissing", "HealthPercentage", "Duration"},
    "RecentIssuesFunction": {"Verdict", "RecentSignups", "RecentMissing", "Duration"},
    "BackfillFunction": {"Verdict", "Missing", "Repaired", "Failed", "Duration"},
}


def on_one_metric(template: dict) -> dict[str, dict]:
    """All alarms but those on an expression of several metrics."""
    return {name: alarm for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items() if "Metrics" not in alarm}


def watched_resource(alarm: dict) -> str | None:
    if not alarm.get("Dimensions"):
        return None
    subject = alarm["Dimensions"][0]["Value"]
    return subject.get("Ref") or owner(subject)


def every_alarm_can_be_told_apart(template: dict) -> Iterator[str]:
    for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
        if alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} is silent"
        if not pattern(alarm.get("AlarmName")).startswith("${AWS::StackName}-"):
            yield f"{name} has a name that the topic does not let in"
        if not alarm.get("AlarmDescription"):
            yield f"{name} says nothing"
        for timed in [alarm] if "Metrics" not in alarm else [m["MetricStat"] for m in alarm["Metrics"] if "MetricStat" in m]:
            if timed.get("Period", 0) % 60 != 0 or not 60 <= timed.get("Period", 0) <= 86400:
                yield f"{name} has an impossible period"


def alarms_watch_the_checks(template: dict) -> Iterator[str]:
    alarms = on_one_metric(template)
    watched = {}
    for name, alarm in alarms.items():
        resource = watched_resource(alarm)
        watched[(pattern(alarm["Namespace"]) or alarm["Namespace"], alarm["MetricName"], resource)] = name
        told = PAGER_ONLY if alarm["MetricName"] == "Verdict" else ALERTS
        if alarm["MetricName"] == "Invocations":
            told = PAGER_TOO
        if alarm.get("AlarmActions") != told or alarm.get("OKActions") != told:
            yield f"{name} does not reach whom it should"

    failing = [("AWS/Lambda", metric, function) for metric in ("Errors", "Throttles") for function in FUNCTIONS]
    failing.append(("AWS/SQS", "ApproximateNumberOfMessagesVisible", "DeadLetterQueue"))
    for key in failing:
        alarm = alarms.get(watched.get(key), {})
        limits = (alarm.get("ComparisonOperator"), alarm.get("Threshold"), alarm.get("TreatMissingData"))
        if limits != ("GreaterThanOrEqualToThreshold", 1, "notBreaching"):
            yield f"nothing watches {' '.join(key)}"
        elif alarm["Statistic"] != ("Maximum" if key[0] == "AWS/SQS" else "Sum"):
            yield f"the alarm on {' '.join(key)} takes the {alarm['Statistic']}"


def missing_runs_raise_an_alarm(template: dict) -> Iterator[str]:
    alarms = on_one_metric(template).values()
    for function, expression in SCHEDULES.items():
        own = [
            alarm
            for alarm in alarms
            if alarm["MetricName"] == "Invocations" and watched_resource(alarm) == function
        ]
        if len(own) != 1:
            yield f"{function} has no dead man's switch"
            continue
        alarm = own[0]
        if alarm.get("TreatMissingData") != "breaching":
            yield f"{function}: silence is no alarm"
        counted = (alarm.get("ComparisonOperator"), alarm.get("Threshold"), alarm.get("Statistic"))
        if counted != ("LessThanThreshold", 1, "Sum"):
            yield f"{function}: the dead man's switch does not count runs"
        waits = alarm["Period"] * alarm["EvaluationPeriods"]
        period = seconds_between_runs(expression)
        # Exactly one period would alarm on a run that is seconds late; much more would be news from yesterday.
        if not period < waits <= 3 * period:
            yield f"{function}: the dead man's switch waits {waits} s"


def alerts_that_were_not_sent_raise_an_alarm(template: dict) -> Iterator[str]:
    counted = set()
    for name, found in of_type(template, "AWS::Logs::MetricFilter").items():
        looked_for = found.get("FilterPattern", "")
        if not all(f'$.alert_outcome = "{outcome}"' in looked_for for outcome in ("failed", "no_topic")):
            yield f"{name} does not look for alerts that were not sent"
        for metric in found["MetricTransformations"]:
            counted.add((found["LogGroupName"]["Ref"], pattern(metric["MetricNamespace"]), metric["MetricName"]))
    alarms = [
        (pattern(alarm["Namespace"]), alarm["MetricName"])
        for alarm in on_one_metric(template).values()
        if (alarm.get("Statistic"), alarm.get("Threshold"), alarm.get("TreatMissingData")) == ("Sum", 1, "notBreaching")
    ]
    for logs in ("HealthCheckLogs", "RecentIssuesLogs"):
        if not any(group == logs and (namespace, metric) in alarms for group, namespace, metric in counted):
            yield f"nobody learns of alerts in {logs} that were not sent"


def verdicts_and_repairs_have_alarms(template: dict) -> Iterator[str]:
    alarms = {
        (alarm["MetricName"], watched_resource(alarm)): alarm
        for alarm in on_one_metric(template).values()
        if alarm["Namespace"] == "Rollcall"
    }
    for metric, function in alarms:
        if metric not in METRICS.get(function, ()):
            yield f"{function} reports no {metric}"
    for function, expression in SCHEDULES.items():
        alarm = alarms.get(("Verdict", function), {})
        limits = (alarm.get("ComparisonOperator"), alarm.get("Threshold"), alarm.get("Statistic"))
        if limits != ("GreaterThanOrEqualToThreshold", 1, "Maximum"):
            yield f"no alarm on the verdict of {function}"
        elif alarm["Period"] != seconds_between_runs(expression):
            yield f"the alarm on the verdict of {function} looks at other times than it runs"
        elif alarm.get("TreatMissingData") != "ignore":
            yield f"a late run changes what is known of {function}"
    failed = alarms.get(("Failed", "BackfillFunction"), {})
    if (failed.get("Statistic"), failed.get("Threshold"), failed.get("TreatMissingData")) != ("Sum", 1, "notBreaching"):
        yield "nobody learns of profiles that a repair could not create"


def executions_that_end_from_outside_raise_an_alarm(template: dict) -> Iterator[str]:
    """What times out or is stopped has no state left in which it could publish that."""
    for machine in of_type(template, "AWS::StepFunctions::StateMachine"):
        watched = set()
        for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
            stats = [metric["MetricStat"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
            if not any({"Ref": machine} == d["Value"] for stat in stats for d in stat["Metric"]["Dimensions"]):
                continue
            watched |= {stat["Metric"]["MetricName"] for stat in stats if stat["Stat"] == "Sum"}
            summed = [metric["Expression"] for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
            ids = [metric["Id"] for metric in alarm["Metrics"] if "MetricStat" in metric]
            if summed != [" + ".join(f"FILL({metric}, 0)" for metric in ids)]:
                yield f"{name} does not look at the sum of its metrics"
            limits = (alarm.get("ComparisonOperator"), alarm.get("Threshold"), alarm.get("TreatMissingData"))
            if limits != ("GreaterThanOrEqualToThreshold", 1, "notBreaching"):
                yield f"{name} does not go off at the first"
            # five minutes later nothing is well again
            if alarm.get("AlarmActions") != ALERTS or "OKActions" in alarm:
                yield f"{name} does not reach whom it should"
        for metric in {"ExecutionsTimedOut", "ExecutionsAborted"} - watched:
            yield f"nothing watches {metric} of {machine}"


def the_dashboard_shows_what_is_reported(template: dict) -> Iterator[str]:
    boards = of_type(template, "AWS::CloudWatch::Dashboard")
    if len(boards) != 1:
        yield f"there are {len(boards)} dashboards"
    for name, board in boards.items():
        try:
            widgets = json.loads(pattern(board["DashboardBody"]))["widgets"]
        except ValueError as reason:
            yield f"{name} is not JSON: {reason}"
            continue
        shown = set()
        listed = set()
        for widget in widgets:
            listed |= {alarm.partition(":alarm:")[2] for alarm in widget["properties"].get("alarms", [])}
            for metric in widget["properties"].get("metrics", []):
                if metric[0] == "Rollcall":
                    shown.add((metric[3].removeprefix("${").removesuffix("}"), metric[1]))
        for function, metric in shown:
            if metric not in METRICS.get(function, ()):
                yield f"{name}: {function} reports no {metric}"
        for metric in set().union(*METRICS.values()) - {metric for _, metric in shown}:
            yield f"{name} does not show {metric}"
        named = {pattern(alarm.get("AlarmName")) for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()}
        for alarm in named ^ listed:
            yield f"{name} and the alarms differ in {alarm}"
