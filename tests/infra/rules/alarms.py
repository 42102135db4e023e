"""Alarms on the checks themselves."""

from collections.abc import Iterator

from rules.reading import FUNCTIONS, SCHEDULES, of_type, owner, pattern
from schedule import seconds_between_runs

ALERTS = [{"Ref": "AlertTopic"}]


def watched_resource(alarm: dict) -> str | None:
    if not alarm.get("Dimensions"):
        return None
    subject = alarm["Dimensions"][0]["Value"]
    return subject.get("Ref") or owner(subject)


def alarms_watch_the_checks(template: dict) -> Iterator[str]:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    watched = {}
    for name, alarm in alarms.items():
        resource = watched_resource(alarm)
        watched[(pattern(alarm["Namespace"]) or alarm["Namespace"], alarm["MetricName"], resource)] = name
        if alarm.get("AlarmActions") != ALERTS or alarm.get("OKActions") != ALERTS:
            yield f"{name} does not reach the alerts topic"
        if alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} is silent"
        if not pattern(alarm.get("AlarmName")).startswith("${AWS::StackName}-"):
            yield f"{name} has a name that the topic does not let in"
        if not alarm.get("AlarmDescription"):
            yield f"{name} says nothing"
        if alarm.get("Period", 0) % 60 != 0 or not 60 <= alarm.get("Period", 0) <= 86400:
            yield f"{name} has an impossible period"

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
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
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
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if (alarm.get("Statistic"), alarm.get("Threshold"), alarm.get("TreatMissingData")) == ("Sum", 1, "notBreaching")
    ]
    for logs in ("HealthCheckLogs", "RecentIssuesLogs"):
        if not any(group == logs and (namespace, metric) in alarms for group, namespace, metric in counted):
            yield f"nobody learns of alerts in {logs} that were not sent"
