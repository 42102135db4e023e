"""A rule that cannot fail proves nothing: each one reports at least one deliberate fault."""

import copy
import unittest
from collections.abc import Callable

from rules import (
    RULES,
    alarms,
    api,
    delivery,
    functions,
    parameters,
    permissions,
    topics,
)
from transformed import together


def put(*path_and_value) -> Callable[[dict], None]:
    """put("A", "B", value): template["A"]["B"] = value."""
    *path, last, value = path_and_value

    def change(template: dict) -> None:
        for step in path:
            template = template[step]
        template[last] = value

    return change


def drop(*path) -> Callable[[dict], None]:
    *path, last = path

    def change(template: dict) -> None:
        for step in path:
            template = template[step]
        del template[last]

    return change


def append(*path_and_value) -> Callable[[dict], None]:
    *path, value = path_and_value

    def change(template: dict) -> None:
        for step in path:
            template = template[step]
        template.append(value)

    return change


def of(name: str, *path) -> tuple:
    return ("Resources", name, "Properties", *path)


def role(name: str, *path) -> tuple:
    return of(name, "Policies", 0, "PolicyDocument", "Statement", *path)


def variables(name: str, *path) -> tuple:
    return of(name, "Environment", "Variables", *path)


ROUTE = of("BackfillApi", "Body", "paths", "/backfill", "post")
STAGE = of("BackfillApiApiGatewayDefaultStage")
HOURLY = of("HealthCheckFunctionSchedule")
FIVE = of("RecentIssuesFunctionSchedule")
TRUST = ("AssumeRolePolicyDocument", "Statement", 0)
BOARD = of("Dashboard", "DashboardBody", "Fn::Sub")
ANY_TOPIC = {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}

# rule: faults, each with what the finding says
FAULTS = {
    parameters.parameters_are_described_and_bounded: [
        (drop("Parameters", "AlertEmail", "Description"), "AlertEmail has no description"),
        (drop("Parameters", "AlertEmail", "Type"), "AlertEmail has no type"),
        (drop("Parameters", "ProjectName", "Default"), "ProjectName has no default"),
        (put("Parameters", "AlertEmail", "Default", "a@example.com"), "AlertEmail has no default, or needs none"),
        (drop("Parameters", "ReminderMinutes", "MaxValue"), "ReminderMinutes has no bounds"),
        (drop("Parameters", "Probe", "AllowedValues"), "Probe has no bounds"),
        (put("Parameters", "SubnetIds", "Default", "all"), "outside its own pattern"),
        (drop("Parameters", "PagerUrl", "NoEcho"), "PagerUrl is hidden, or shown"),
        (put("Parameters", "DatabaseSecretArn", "NoEcho", True), "DatabaseSecretArn is hidden, or shown"),
    ],
    parameters.outputs_say_where_everything_is: [
        (drop("Outputs", "BackfillUrl"), "BackfillUrl"),
        (put("Outputs", "AlertTopicArn", "Value", {"Ref": "AlarmTopic"}), "AlertTopicArn"),
        (put("Outputs", "AlertTopicArn", "Export", "Name", "AlertTopicArn"), "another stack may have taken"),
    ],
    functions.functions_run_native_arm64_code: [
        (put(*of("BackfillFunction", "Architectures"), ["x86_64"]), "not arm64"),
        (put(*of("BackfillFunction", "Runtime"), "provided.al2"), "provided.al2023"),
        (put(*of("BackfillFunction", "Timeout"), 900), "timeout 900"),
        (put(*of("BackfillFunction", "FunctionName"), "backfill"), "another stack may have taken"),
        (put(*of("BackfillFunction", "ReservedConcurrentExecutions"), 2), "reserves concurrency"),
        (drop("Resources", "BackfillFunction"), "the functions are"),
    ],
    functions.functions_join_a_vpc_only_when_asked: [
        (drop(*of("BackfillFunction", "VpcConfig")), "BackfillFunction"),
        (drop(*of("DashboardFunction", "VpcConfig", "Fn::If", 1, "Ipv6AllowedForDualStack")), "DashboardFunction"),
    ],
    functions.environment_is_complete_and_holds_no_secret: [
        (drop(*variables("HealthCheckFunction", "PROJECT_NAME")), "PROJECT_NAME is null"),
        (drop(*variables("DashboardFunction", "PROJECT_NAME")), "PROJECT_NAME is null"),
        (put(*variables("RecentIssuesFunction", "ALERT_TOPIC_ARN"), {"Ref": "AlarmTopic"}), "ALERT_TOPIC_ARN is"),
        (put(*variables("BackfillFunction", "DATABASE_CA_CERT"), {"Ref": "DatabaseCaCert"}), "DATABASE_CA_CERT is"),
        (put(*variables("BackfillFunction", "DATABASE_URL"), "x"), "DATABASE_URL is"),
        (
            put(
                *variables("BackfillFunction", "DATABASE_SECRET_ARN"),
                {"Fn::Sub": "{{resolve:secretsmanager:${DatabaseSecretArn}}}"},
            ),
            "has a secret",
        ),
        (put(*variables("BackfillFunction", "RUST_LOG"), "postgresql://u:p@h/d"), "has a secret"),
    ],
    functions.logs_are_kept_for_a_bounded_time: [
        (drop(*of("BackfillLogs", "RetentionInDays")), "BackfillLogs has no retention"),
        (put(*of("Logs", "LogGroupName"), "/aws/lambda/checks"), "another stack may have taken"),
        (drop(*of("BackfillFunction", "LoggingConfig", "LogGroup")), "BackfillFunction logs by"),
        (put(*of("BackfillFunction", "LoggingConfig", "ApplicationLogLevel"), "WARN"), "BackfillFunction logs by"),
    ],
    delivery.schedules_are_valid_and_retried: [
        (put("Parameters", "RecentIssuesMinutes", "MinValue", 1), "singular"),
        (put("Parameters", "RecentIssuesMinutes", "MinValue", 3), "as long as its period"),
        (put(*HOURLY, "ScheduleExpression", "rate(2 hours)"), "runs at"),
        (put(*HOURLY, "State", "DISABLED"), "disabled"),
        (put(*HOURLY, "FlexibleTimeWindow", {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}), "late"),
        (drop(*HOURLY, "GroupName"), "group"),
        (put(*HOURLY, "Target", "RoleArn", {"Fn::GetAtt": ["CheckRole", "Arn"]}), "another role"),
        (drop(*FIVE, "Target", "RetryPolicy"), "not retried"),
        (put(*FIVE, "Target", "RetryPolicy", "MaximumRetryAttempts", 999), "not retried"),
        (drop("Resources", "HealthCheckFunctionSchedule"), "scheduled functions"),
        (put(*of("ScheduleGroup", "Name"), "rollcall"), "schedule groups"),
    ],
    delivery.failed_invocations_are_repeated_by_what_started_them: [
        (drop("Resources", "BackfillFunctionEventInvokeConfig"), "BackfillFunction is repeated by None"),
        (put(*of("HealthCheckFunctionEventInvokeConfig", "MaximumRetryAttempts"), 2), "is repeated by (2, 1800)"),
    ],
    permissions.every_role_holds_only_its_own_actions: [
        (append(*role("BackfillRole"), ANY_TOPIC), "BackfillRole holds"),
        (put(*role("CheckRole", 3, "Resource"), "*"), "CheckRole holds"),
        (put(*role("BackfillRole", 1, "Resource"), "*"), "BackfillRole holds"),
        (put(*role("BackfillRole", 1, "Action"), "secretsmanager:*"), "BackfillRole holds"),
        (drop(*role("BackfillRole", 2, "Condition")), "BackfillRole holds"),
        (drop(*role("BackfillRole", 2)), "BackfillRole lacks"),
        (
            put(*of("BackfillRole", "ManagedPolicyArns"), ["arn:aws:iam::aws:policy/AdministratorAccess"]),
            "managed policies",
        ),
        (put("Resources", "SpareRole", {"Type": "AWS::IAM::Role", "Properties": {}}), "the roles are"),
    ],
    permissions.every_role_is_for_its_user_alone: [
        (put(*of("BackfillFunction", "Role"), {"Fn::GetAtt": ["CheckRole", "Arn"]}), "the functions' roles are"),
        (put(*of("BackfillFunction", "Role"), "arn:aws:iam::123456789012:role/admin"), "the functions' roles are"),
        (put(*of("SlackRole", *TRUST, "Principal"), {"AWS": "*"}), "SlackRole can be assumed"),
        (drop(*of("ScheduleRole", *TRUST, "Condition")), "ScheduleRole can be assumed"),
        (drop(*of("BackfillMachineRole", *TRUST, "Condition")), "BackfillMachineRole can be assumed"),
    ],
    permissions.the_vpc_permissions_are_not_for_the_code: [
        (drop(*role("CheckRole", 5)), "the code of CheckRole"),
        (drop(*role("BackfillRole", 4, "Fn::If", 1, "Condition")), "the code of BackfillRole"),
        (append(*role("DashboardRole", 3, "Fn::If", 1, "Action"), "s3:GetObject"), "s3:GetObject"),
    ],
    topics.topics_let_in_their_own_alarms_only: [
        (drop("Resources", "IncidentTopicPolicy"), "IncidentTopic has no policy"),
        (drop(*of("TopicPolicy", "Topics", 1)), "AlarmTopic has no policy"),
        (drop(*of("TopicPolicy", "PolicyDocument", "Statement", 0, "Condition")), "TopicPolicy lets in"),
        (drop(*of("TopicPolicy", "PolicyDocument", "Statement", 1)), "without TLS"),
        (append(*of("TopicPolicy", "PolicyDocument", "Statement"), ANY_TOPIC), "more statements"),
        (drop("Resources", "AlarmTopic"), "the topics are"),
    ],
    topics.everyone_subscribes_to_what_is_for_them: [
        (put(*of("AlarmEmailSubscription", "TopicArn"), {"Ref": "AlertTopic"}), "the subscriptions are"),
        (put(*of("AlarmSubscription", "TopicArn"), {"Ref": "AlertTopic"}), "the subscriptions are"),
        (drop("Resources", "IncidentSubscription"), "the subscriptions are"),
    ],
    topics.slack_is_told_once_and_may_do_nothing: [
        (drop(*of("SlackChannel", "GuardrailPolicies")), "may use the account"),
        (append(*of("SlackChannel", "SnsTopicArns"), {"Ref": "IncidentTopic"}), "or twice"),
        (put(*of("SlackChannel", "IamRoleArn"), {"Fn::GetAtt": ["BackfillRole", "Arn"]}), "a role of others"),
    ],
    api.every_route_asks_for_iam: [
        (drop(*ROUTE, "security"), "post /backfill is open"),
        (put(*ROUTE, "security", [{"NONE": []}]), "post /backfill is open"),
        (put(*ROUTE, "security", [{"AWS_IAM": []}, {}]), "post /backfill is open"),
        (drop(*of("BackfillApi", "Body", "components")), "post /backfill is open"),
        (put(*ROUTE, "x-amazon-apigateway-integration", "payloadFormatVersion", "1.0"), "payload format"),
        (put(*ROUTE, "x-amazon-apigateway-integration", "timeoutInMillis", 28000), "hangs up"),
        (drop(*of("BackfillApi", "Body", "paths", "/backfill")), "the routes are"),
    ],
    api.the_apis_are_throttled_and_repairs_are_logged: [
        (drop(*STAGE, "DefaultRouteSettings"), "no rate limit"),
        (drop(*STAGE, "DefaultRouteSettings", "ThrottlingBurstLimit"), "no burst limit"),
        (drop(*STAGE, "AccessLogSettings"), "repairs are not logged"),
        (put(*STAGE, "AccessLogSettings", "Format", "$context.requestId"), "not JSON"),
        (put(*STAGE, "AccessLogSettings", "Format", "{}"), "who called"),
    ],
    alarms.every_alarm_watches_and_tells_as_intended: [
        (drop("Resources", "RecentIssuesSilentAlarm"), "recent-issues-silent is missing"),
        (put(*of("RecentIssuesAlertingAlarm", "MetricName"), "Verdict"), "recent-issues-alerting watches"),
        (put(*of("RecentIssuesSilentAlarm", "TreatMissingData"), "missing"), "takes missing data"),
        (put(*of("DatabaseUnreachableAlarm", "TreatMissingData"), "notBreaching"), "takes missing data"),
        (put(*of("HealthCheckAlertingAlarm", "OKActions"), [{"Ref": "AlertTopic"}]), "does not reach"),
        (put(*of("AlertsNotSentAlarm", "AlarmActions"), [{"Ref": "AlertTopic"}]), "alerts-not-sent does not reach"),
        (put(*of("BackfillMachineEndedAlarm", "OKActions"), [{"Ref": "AlertTopic"}]), "does not reach"),
        (drop(*of("AlertsNotSentAlarm", "AlarmDescription")), "says nothing"),
        (put(*of("HealthCheckErrorsAlarm", "Threshold"), 5), "another number"),
        (put(*of("AlertsNotSentAlarm", "ActionsEnabled"), False), "silent"),
        (put(*of("HealthCheckSilentAlarm", "Metrics", 0, "Expression"), "kept + away"), "the sum of its metrics"),
    ],
    alarms.alarms_look_at_the_time_of_two_runs: [
        (put(*of("RecentIssuesSilentAlarm", "EvaluationPeriods"), 5), "does not follow the schedule"),
        (put(*of("RecentIssuesSilentAlarm", "Period"), 60), "looks at 300 s"),
        (put("Parameters", "HealthCheckMinutes", "MaxValue", 1440), "more than a day"),
        (put(*of("AlertsNotSentAlarm", "Period"), 90), "impossible period"),
        (drop(*of("DatabaseUnreachableAlarm", "DatapointsToAlarm")), "at a single run"),
        (put(*of("HealthCheckErrorsAlarm", "Period"), 300), "a run and its repetition"),
    ],
    alarms.alerts_that_were_not_sent_are_counted: [
        (drop("Resources", "AlertsSentFilter"), "are counted by"),
        (put(*of("AlertsNotSentFilter", "FilterPattern"), "ERROR"), "are counted by"),
    ],
    alarms.the_dashboard_shows_what_is_reported: [
        (put(*BOARD, "{"), "not JSON"),
        (put(*BOARD, '{"widgets": []}'), "the custom widgets are []"),
        (put(*BOARD, '{"widgets": []}'), "differ in database-unreachable"),
        (
            put(
                *BOARD,
                '{"widgets": [{"properties": {"metrics": [["Rollcall", "Mood", "FunctionName", "x-backfill"]]}}]}',
            ),
            "reports no Mood",
        ),
    ],
}


class RulesCanFail(unittest.TestCase):
    def test_each_fault_is_reported_by_its_rule(self):
        for rule, faults in FAULTS.items():
            for fault, finding in faults:
                template = copy.deepcopy(together())
                fault(template)
                with self.subTest(rule=rule.__name__, finding=finding):
                    found = list(rule(template))
                    self.assertTrue(any(finding in sentence for sentence in found), found)

    def test_each_rule_has_a_fault_it_reports(self):
        self.assertEqual(set(FAULTS), set(RULES))


if __name__ == "__main__":
    unittest.main()
