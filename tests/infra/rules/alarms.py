"""Alarms on the checks themselves, and on what they report."""

import json
from collections.abc import Iterator

from rules.delivery import minutes
from rules.reading import SCHEDULES, of_type, pattern
from rules.topics import ALARMS, ALERTS, INCIDENTS

HEALTH, RECENT, BACKFILL = (f"${{AWS::StackName}}-{name}" for name in ("health-check", "recent-issues", "backfill"))
CHECKS = {"HealthCheckFunction": HEALTH, "RecentIssuesFunction": RECENT, "BackfillFunction": BACKFILL}
# What the functions report in the namespace Rollcall; test_metrics.py compares it with their code.
OF_A_CHECK = {"Verdict", "Alerting", "Unreachable", "RecentSignups", "RecentMissing", "Duration"}
METRICS = {
    HEALTH: OF_A_CHECK | {"Missing", "HealthPercentage"},
    RECENT: OF_A_CHECK,
    BACKFILL: {"Verdict", "Missing", "Repaired", "Failed", "Duration"},
}
# Name -> what it watches, what missing data means, whom it tells, and whether it tells of the end.
# "ignore" keeps the state: data come only from runs, and no run is no news. "notBreaching" is for what has no state, and so
# has no end to tell of.
EXPECTED = {
    "recent-issues-silent": ({("Rollcall", "Verdict", RECENT)}, "breaching", ALARMS, True),
    "health-check-silent": (
        {("Rollcall", "Alerting", HEALTH), ("Rollcall", "Unreachable", RECENT)},
        "breaching",
        ALARMS,
        True,
    ),
    "health-check-errors": ({("AWS/Lambda", "Errors", HEALTH)}, "ignore", ALARMS, True),
    "database-unreachable": ({("Rollcall", "Unreachable", RECENT)}, "ignore", ALARMS, True),
    "alerts-not-sent": ({("Rollcall/${AWS::StackName}", "AlertsNotSent", None)}, "ignore", ALARMS, True),
    "health-check-alerting": ({("Rollcall", "Alerting", HEALTH)}, "ignore", INCIDENTS, True),
    "recent-issues-alerting": ({("Rollcall", "Alerting", RECENT)}, "ignore", INCIDENTS, True),
    "pager-not-reached": (
        {
            ("AWS/SNS", "NumberOfNotificationsFailed", "IncidentTopic"),
            ("AWS/SNS", "NumberOfNotificationsFailed", "${AWS::StackName}-alarms"),
        },
        "notBreaching",
        ALERTS,
        False,
    ),
    "backfill-errors": ({("AWS/Lambda", "Errors", BACKFILL)}, "ignore", ALERTS, True),
    "backfill-failures": ({("Rollcall", "Failed", BACKFILL)}, "ignore", ALERTS, True),
    "backfill-machine-ended": (
        {
            ("AWS/States", "ExecutionsTimedOut", "BackfillMachine"),
            ("AWS/States", "ExecutionsAborted", "BackfillMachine"),
        },
        "notBreaching",
        ALERTS,
        False,
    ),
}


def alarms_by_name(template: dict) -> dict[str, dict]:
    return {
        pattern(alarm.get("AlarmName")).removeprefix("${AWS::StackName}-"): alarm
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
    }


def stats(alarm: dict) -> list[dict]:
    """Each metric of an alarm, in the form that several have."""
    if "Metrics" in alarm:
        return [metric["MetricStat"] for metric in alarm["Metrics"] if "MetricStat" in metric]
    metric = {key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions") if key in alarm}
    return [{"Metric": metric, "Stat": alarm["Statistic"], "Period": alarm["Period"]}]


def watched(metric: dict) -> tuple[str, str, str | None]:
    """Namespace, name, and whose it is: of a function, the name."""
    of = None
    for dimension in metric.get("Dimensions", []):
        value = dimension["Value"]
        of = pattern(value) or value.get("Ref") or value["Fn::GetAtt"][0]
    return (pattern(metric["Namespace"]) or metric["Namespace"], metric["MetricName"], CHECKS.get(of, of))


def every_alarm_watches_and_tells_as_intended(template: dict) -> Iterator[str]:
    alarms = alarms_by_name(template)
    for name in alarms.keys() ^ EXPECTED.keys():
        yield f"{name} is missing, or unknown"
    for name in alarms.keys() & EXPECTED.keys():
        alarm, (metrics, missing, topic, has_end) = alarms[name], EXPECTED[name]
        if {watched(stat["Metric"]) for stat in stats(alarm)} != metrics:
            yield f"{name} watches something else"
        for namespace, metric, function in metrics:
            if namespace == "Rollcall" and metric not in METRICS[function]:
                yield f"{function} reports no {metric}"
        if alarm.get("TreatMissingData") != missing:
            yield f"{name} takes missing data for {alarm.get('TreatMissingData')}"
        if alarm.get("AlarmActions") != [topic] or alarm.get("OKActions", []) != [topic] * has_end:
            yield f"{name} does not reach whom it should"
        if not alarm.get("AlarmDescription"):
            yield f"{name} says nothing"
        comparison = "LessThanThreshold" if missing == "breaching" else "GreaterThanOrEqualToThreshold"
        # a check's crash is repeated before anybody is called
        threshold = 2 if name == "health-check-errors" else 1
        if (alarm.get("ComparisonOperator"), alarm.get("Threshold")) != (comparison, threshold):
            yield f"{name} goes off at another number"
        if alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} is silent"
        summed = [metric["Expression"] for metric in alarm.get("Metrics", []) if metric.get("ReturnData", True)]
        ids = [metric["Id"] for metric in alarm.get("Metrics", []) if "MetricStat" in metric]
        if summed != ([f"SUM([{', '.join(ids)}])"] if ids else []):
            yield f"{name} does not look at the sum of its metrics"


def alarms_look_at_the_time_of_two_runs(template: dict) -> Iterator[str]:
    alarms = alarms_by_name(template)
    for name in ("recent-issues-silent", "health-check-silent", "database-unreachable"):
        function = "HealthCheckFunction" if name.startswith("health") else "RecentIssuesFunction"
        alarm = alarms[name]
        if alarm.get("EvaluationPeriods") != {"Ref": SCHEDULES[function]}:
            yield f"{name} does not follow the schedule"
        for every in minutes(template, function):
            for stat in stats(alarm):
                looked_at = stat["Period"] * every
                if looked_at != 2 * 60 * every:
                    yield f"{name} looks at {looked_at} s, with a run every {every} minutes"
                if looked_at > 86400:
                    yield f"{name} looks at more than a day, which CloudWatch refuses"
    for name, alarm in alarms.items():
        for stat in stats(alarm):
            if stat["Period"] % 60 or not 60 <= stat["Period"] <= 86400:
                yield f"{name} has an impossible period"
    if alarms["database-unreachable"].get("DatapointsToAlarm") != 2:
        yield "database-unreachable goes off at a single run"
    # a run and its repetition, a minute later, however long both may take
    longest = template["Parameters"]["HealthCheckTimeout"]["MaxValue"]
    if alarms["health-check-errors"]["Period"] < 2 * longest:
        yield "health-check-errors does not look at a run and its repetition"


def alerts_that_were_not_sent_are_counted(template: dict) -> Iterator[str]:
    filters = {
        (
            found["FilterPattern"],
            found["LogGroupName"]["Ref"],
            *((pattern(m["MetricNamespace"]), m["MetricName"], m["MetricValue"]) for m in found["MetricTransformations"]),
        )
        for found in of_type(template, "AWS::Logs::MetricFilter").values()
    }
    metric = ("Rollcall/${AWS::StackName}", "AlertsNotSent")
    unsent = '{ ($.alert_outcome = "failed") || ($.alert_outcome = "no_topic") }'
    if filters != {(unsent, "Logs", (*metric, "1")), ('{ $.message = "alert sent" }', "Logs", (*metric, "0"))}:
        yield f"alerts that were not sent are counted by {sorted(filters)}"


def the_dashboard_shows_what_is_reported(template: dict) -> Iterator[str]:
    board = of_type(template, "AWS::CloudWatch::Dashboard")["Dashboard"]
    try:
        widgets = json.loads(pattern(board["DashboardBody"]))["widgets"]
    except ValueError as reason:
        yield f"the dashboard is not JSON: {reason}"
        return
    asked = [widget["properties"]["endpoint"] for widget in widgets if widget.get("type") == "custom"]
    if asked != ["${DashboardFunction.Arn}"]:
        yield f"the custom widgets are {asked}"
    listed = {alarm.split(":alarm:${AWS::StackName}-")[-1] for w in widgets for alarm in w["properties"].get("alarms", [])}
    core = {name for name, (_, _, topic, _) in EXPECTED.items() if topic == ALARMS}
    for alarm in core ^ listed:
        yield f"the dashboard and the alarms differ in {alarm}"
    for widget in widgets:
        for namespace, metric, _, function, *_ in widget["properties"].get("metrics", []):
            if namespace == "Rollcall" and metric not in METRICS.get(function, ()):
                yield f"the dashboard: {function} reports no {metric}"
