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
from transformed import transformed


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
HOURLY = of("HealthCheckFunctionHourly")
FIVE = of("RecentIssuesFunctionEveryFiveMinutes")
PUBLISH_CRITICAL = {"Effect": "Allow", "Action": "sns:Publish", "Resource": {"Ref": "CriticalTopic"}}

# rule: faults, each with what the finding says
FAULTS = {
    parameters.parameters_are_described_and_bounded: [
        (drop("Parameters", "AlertEmail", "Description"), "AlertEmail has no description"),
        (drop("Parameters", "AlertEmail", "Type"), "AlertEmail has no type"),
        (drop("Parameters", "AlertEmail", "Default"), "AlertEmail has no default"),
        (drop("Parameters", "MemorySize", "MaxValue"), "MemorySize has no bounds"),
        (drop("Parameters", "LogLevel", "AllowedValues"), "LogLevel has no bounds"),
        (put("Parameters", "SubnetIds", "Default", "all"), "outside its own pattern"),
    ],
    parameters.outputs_say_where_everything_is: [
        (drop("Outputs", "BackfillUrl"), "BackfillUrl"),
        (put("Outputs", "AlertTopicArn", "Value", {"Ref": "CriticalTopic"}), "AlertTopicArn"),
        (drop("Outputs", "BackfillUrl", "Description"), "no description"),
    ],
    functions.functions_run_native_arm64_code: [
        (put(*of("BackfillFunction", "Architectures"), ["x86_64"]), "not arm64"),
        (put(*of("BackfillFunction", "Runtime"), "provided.al2"), "provided.al2023"),
        (put(*of("BackfillFunction", "Timeout"), 900), "timeout 900"),
        (drop("Resources", "BackfillFunction"), "the functions are"),
    ],
    functions.functions_have_reserved_concurrency: [
        (drop(*of("HealthCheckFunction", "ReservedConcurrentExecutions")), "reserves None"),
        (put("Parameters", "ReserveConcurrency", "Default", "false"), "by default"),
    ],
    functions.functions_join_a_vpc_only_when_asked: [
        (drop(*of("BackfillFunction", "VpcConfig")), "BackfillFunction"),
        (drop("Resources", "VpcAccess", "Condition"), "without a VPC"),
    ],
    functions.environment_is_complete_and_holds_no_secret: [
        (drop(*variables("BackfillFunction", "RUST_LOG")), "lacks RUST_LOG"),
        (drop(*variables("HealthCheckFunction", "ALERT_TOPIC_ARN")), "lacks ALERT_TOPIC_ARN"),
        (put(*variables("RecentIssuesFunction", "CRITICAL_TOPIC_ARN"), {"Ref": "AlertTopic"}), "CRITICAL_TOPIC_ARN is"),
        (put(*variables("BackfillFunction", "DATABASE_CA_CERT"), {"Ref": "DatabaseCaCert"}), "DATABASE_CA_CERT is"),
        (put(*variables("BackfillFunction", "DATABASE_URL"), "x"), "unexpected variable DATABASE_URL"),
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
        (drop(*of("BackfillApiLogs", "RetentionInDays")), "BackfillApiLogs has no retention"),
        (drop(*of("BackfillFunction", "LoggingConfig", "LogGroup")), "without retention"),
        (put(*of("BackfillFunction", "LoggingConfig", "LogGroup"), {"Ref": "HealthCheckLogs"}), "share a log group"),
        (put(*of("BackfillLogs", "LogGroupName"), "backfill"), "not find its log group"),
        (put(*of("BackfillFunction", "LoggingConfig", "LogFormat"), "Text"), "JSON"),
        (put(*of("BackfillFunction", "LoggingConfig", "SystemLogLevel"), "WARN"), "duration"),
        (put("Mappings", "LambdaLogLevel", "warn", "Threshold", "WARN"), "LogLevel warn"),
    ],
    delivery.schedules_are_valid_and_retried: [
        (put(*FIVE, "ScheduleExpression", "rate(5 minute)"), "plural"),
        (put(*HOURLY, "ScheduleExpression", "rate(1 hours)"), "singular"),
        (put(*HOURLY, "ScheduleExpression", "rate(2 hours)"), "runs at rate(2 hours)"),
        (put(*HOURLY, "State", "DISABLED"), "disabled"),
        (put(*HOURLY, "FlexibleTimeWindow", {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}), "late"),
        (drop(*HOURLY, "GroupName"), "group"),
        (drop(*HOURLY, "Target", "DeadLetterConfig"), "no dead-letter queue"),
        (drop(*FIVE, "Target", "RetryPolicy"), "not retried"),
        (put(*FIVE, "Target", "RetryPolicy", "MaximumRetryAttempts", 999), "not retried"),
        (put(*FIVE, "Target", "RetryPolicy", "MaximumEventAgeInSeconds", 300), "as long as its period"),
        (put(*FIVE, "Target", "Input", "check"), "JSON input"),
        (drop("Resources", "HealthCheckFunctionHourly"), "scheduled functions"),
        (put(*of("ScheduleGroup", "Name"), "rollcall"), "schedule groups"),
    ],
    delivery.failed_invocations_are_kept: [
        (drop("Resources", "BackfillFunctionEventInvokeConfig"), "default retries"),
        (put(*of("BackfillFunctionEventInvokeConfig", "MaximumRetryAttempts"), 2), "repeated 2 times"),
        (drop(*of("BackfillFunctionEventInvokeConfig", "MaximumEventAgeInSeconds")), "keeps events"),
        (drop(*of("BackfillFunctionEventInvokeConfig", "DestinationConfig")), "no destination"),
        (drop(*of("DeadLetterQueue", "SqsManagedSseEnabled")), "not encrypted"),
        (drop(*of("DeadLetterQueue", "MessageRetentionPeriod")), "fourteen days"),
    ],
    permissions.every_role_holds_only_its_own_actions: [
        (append(*role("BackfillRole"), PUBLISH_CRITICAL), "BackfillRole holds"),
        (put(*role("HealthCheckRole", 3, "Resource"), {"Ref": "CriticalTopic"}), "HealthCheckRole holds"),
        (put(*role("HealthCheckRole", 1, "Resource"), "*"), "HealthCheckRole holds"),
        (put(*role("BackfillRole", 1, "Action"), "secretsmanager:*"), "BackfillRole holds"),
        (drop(*role("BackfillRole", 2, "Fn::If", 1, "Condition")), "BackfillRole holds"),
        (drop(*role("BackfillRole", 3)), "BackfillRole lacks"),
        (
            put(*of("BackfillRole", "ManagedPolicyArns"), ["arn:aws:iam::aws:policy/AdministratorAccess"]),
            "managed policies",
        ),
        (put("Resources", "SpareRole", {"Type": "AWS::IAM::Role", "Properties": {}}), "the roles are"),
    ],
    permissions.every_function_and_schedule_has_its_own_role: [
        (put(*of("BackfillFunction", "Role"), {"Fn::GetAtt": ["HealthCheckRole", "Arn"]}), "shared"),
        (put(*of("BackfillFunction", "Role"), "arn:aws:iam::123456789012:role/admin"), "not in the template"),
        (
            put(*of("BackfillRole", "AssumeRolePolicyDocument", "Statement", 0, "Principal"), {"AWS": "*"}),
            "can be assumed",
        ),
        (drop(*of("HealthCheckScheduleRole", "AssumeRolePolicyDocument", "Statement", 0, "Condition")), "borrowed"),
    ],
    permissions.no_statement_is_wider_than_it_must_be: [
        (put(*role("BackfillRole", 1, "Resource"), "*"), "ReadDatabaseSecret covers more"),
        (
            put(*role("BackfillRole", 1, "Resource"), {"Fn::Sub": "arn:aws:secretsmanager:${AWS::Region}:*:secret:db"}),
            "covers more",
        ),
        (put(*role("BackfillRole", 2, "Fn::If", 1, "Resource"), "*"), "DecryptDatabaseSecret covers more"),
        (put(*role("BackfillRole", 1, "Action"), "secretsmanager:*"), "by pattern"),
        (put(*role("BackfillRole", 1, "NotAction"), "iam:PassRole"), "leaves out"),
        (put(*of("CriticalTopicPolicy", "PolicyDocument", "Statement", 0, "Principal"), "*"), "lets anyone in"),
    ],
    permissions.the_vpc_permissions_are_not_for_the_code: [
        (drop(*of("VpcAccess", "PolicyDocument", "Statement", 1)), "own code may use"),
        (drop(*of("VpcAccess", "PolicyDocument", "Statement", 1, "Action", 0)), "own code may use"),
        (
            drop(
                *of(
                    "VpcAccess",
                    "PolicyDocument",
                    "Statement",
                    1,
                    "Condition",
                    "ArnEquals",
                    "lambda:SourceFunctionArn",
                    0,
                )
            ),
            "not covered by the denial",
        ),
    ],
    topics.topics_are_encrypted_with_a_key_that_alarms_may_use: [
        (drop(*of("CriticalTopic", "KmsMasterKeyId")), "CriticalTopic is encrypted with null"),
        (put(*of("AlertTopic", "KmsMasterKeyId"), "alias/aws/sns"), "alias/aws/sns"),
        (drop(*of("TopicKey", "EnableKeyRotation")), "never rotated"),
        (drop(*of("TopicKey", "KeyPolicy", "Statement", 1)), "alarms cannot use"),
        (drop(*of("TopicKey", "KeyPolicy", "Statement", 1, "Condition")), "alarms of others"),
        (drop("Resources", "CriticalTopic"), "the topics are"),
    ],
    topics.topic_policies_let_in_only_their_publishers: [
        (drop("Resources", "CriticalTopicPolicy"), "CriticalTopic has no policy"),
        (drop(*of("AlertTopicPolicy", "PolicyDocument", "Statement", 1)), "AlertTopic can be published to"),
        (
            drop(*of("AlertTopicPolicy", "PolicyDocument", "Statement", 1, "Condition")),
            "AlertTopic can be published to",
        ),
        (drop(*of("AlertTopicPolicy", "PolicyDocument", "Statement", 2)), "without TLS"),
        (
            put(*of("CriticalTopicPolicy", "PolicyDocument", "Statement", 0, "Action"), "sns:Subscribe"),
            "something else",
        ),
    ],
    topics.email_is_subscribed_only_when_given: [
        (drop("Resources", "AlertEmailSubscription", "Condition"), "e-mail subscriptions"),
        (put(*of("CriticalEmailSubscription", "TopicArn"), {"Ref": "AlertTopic"}), "e-mail subscriptions"),
    ],
    topics.the_pager_gets_alarms_and_people_get_words: [
        (drop("Resources", "PagerDutySubscription"), "the https subscriptions are"),
        (drop("Resources", "PagerDutySubscription", "Condition"), "not asked for"),
        (put(*of("PagerDutySubscription", "TopicArn"), {"Ref": "AlertTopic"}), "listens elsewhere"),
        (drop(*of("PagerDutySubscription", "FilterPolicy")), "cannot match"),
        (drop("Parameters", "PagerDutyUrl", "NoEcho"), "can be read"),
        (drop(*of("CriticalEmailSubscription", "FilterPolicy")), "everything twice"),
    ],
    topics.slack_is_told_and_may_do_nothing: [
        (drop("Resources", "SlackChannel"), "the Slack channels are"),
        (drop("Resources", "SlackChannel", "Condition"), "without a Slack channel"),
        (drop(*of("SlackChannel", "GuardrailPolicies")), "may use the account"),
        (put(*of("SlackChannel", "SnsTopicArns"), [{"Ref": "AlertTopic"}]), "only a part"),
        (put(*of("SlackChannel", "IamRoleArn"), {"Fn::GetAtt": ["BackfillRole", "Arn"]}), "a role of others"),
        (
            put(*of("SlackRole", "AssumeRolePolicyDocument", "Statement", 0, "Principal"), {"AWS": "*"}),
            "assumed by others",
        ),
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
    api.the_api_is_throttled_and_logged: [
        (drop(*STAGE, "DefaultRouteSettings"), "no rate limit"),
        (drop(*STAGE, "DefaultRouteSettings", "ThrottlingBurstLimit"), "no burst limit"),
        (drop(*STAGE, "AccessLogSettings"), "no access log"),
        (put(*STAGE, "AccessLogSettings", "Format", "$context.requestId"), "not JSON"),
        (put(*STAGE, "AccessLogSettings", "Format", "{}"), "who called"),
        (drop("Resources", "BackfillApiApiGatewayDefaultStage"), "no stage"),
    ],
    alarms.every_alarm_can_be_told_apart: [
        (put(*of("DeadLettersAlarm", "ActionsEnabled"), False), "silent"),
        (put(*of("DeadLettersAlarm", "AlarmName"), "dead-letters"), "does not let in"),
        (drop(*of("DeadLettersAlarm", "AlarmDescription")), "says nothing"),
        (put(*of("DeadLettersAlarm", "Period"), 90), "impossible period"),
        (put(*of("BackfillMachineEndedAlarm", "ActionsEnabled"), False), "silent"),
        (put(*of("BackfillMachineEndedAlarm", "Metrics", 1, "MetricStat", "Period"), 90), "impossible period"),
    ],
    alarms.alarms_watch_the_checks: [
        (drop("Resources", "RecentIssuesErrorsAlarm"), "nothing watches AWS/Lambda Errors RecentIssuesFunction"),
        (drop("Resources", "BackfillThrottlesAlarm"), "nothing watches AWS/Lambda Throttles BackfillFunction"),
        (drop("Resources", "DeadLettersAlarm"), "nothing watches AWS/SQS"),
        (put(*of("DeadLettersAlarm", "Threshold"), 100), "nothing watches AWS/SQS"),
        (put(*of("DeadLettersAlarm", "Statistic"), "Sum"), "takes the Sum"),
        (drop(*of("DeadLettersAlarm", "AlarmActions")), "does not reach"),
        (put(*of("HealthCheckVerdictAlarm", "OKActions"), [{"Ref": "AlertTopic"}]), "does not reach"),
        (put(*of("HealthCheckMissingAlarm", "AlarmActions"), [{"Ref": "AlertTopic"}]), "does not reach"),
    ],
    alarms.alerts_that_were_not_sent_raise_an_alarm: [
        (drop("Resources", "RecentIssuesUnsentFilter"), "nobody learns of alerts in RecentIssuesLogs"),
        (drop("Resources", "AlertsNotSentAlarm"), "nobody learns of alerts in HealthCheckLogs"),
        (put(*of("AlertsNotSentAlarm", "Threshold"), 5), "nobody learns of alerts in HealthCheckLogs"),
        (put(*of("HealthCheckUnsentFilter", "FilterPattern"), "ERROR"), "does not look for alerts"),
    ],
    alarms.verdicts_and_repairs_have_alarms: [
        (drop("Resources", "RecentIssuesVerdictAlarm"), "no alarm on the verdict of RecentIssuesFunction"),
        (put(*of("HealthCheckVerdictAlarm", "Threshold"), 2), "no alarm on the verdict of HealthCheckFunction"),
        (put(*of("HealthCheckVerdictAlarm", "Period"), 300), "other times"),
        (put(*of("HealthCheckVerdictAlarm", "TreatMissingData"), "notBreaching"), "a late run"),
        (put(*of("HealthCheckSlowAlarm", "MetricName"), "Latency"), "HealthCheckFunction reports no Latency"),
        (drop("Resources", "BackfillFailuresAlarm"), "could not create"),
    ],
    alarms.executions_that_end_from_outside_raise_an_alarm: [
        (drop("Resources", "BackfillMachineEndedAlarm"), "nothing watches ExecutionsTimedOut of BackfillMachine"),
        (drop(*of("BackfillMachineEndedAlarm", "Metrics", 2)), "nothing watches ExecutionsAborted of BackfillMachine"),
        (put(*of("BackfillMachineEndedAlarm", "Metrics", 0, "Expression"), "timedOut + aborted"), "the sum of its metrics"),
        (put(*of("BackfillMachineEndedAlarm", "Threshold"), 2), "at the first"),
        (drop(*of("BackfillMachineEndedAlarm", "AlarmActions")), "does not reach"),
    ],
    alarms.the_dashboard_shows_what_is_reported: [
        (drop("Resources", "Dashboard"), "there are 0 dashboards"),
        (put(*of("Dashboard", "DashboardBody", "Fn::Sub"), "{"), "not JSON"),
        (put(*of("Dashboard", "DashboardBody", "Fn::Sub"), '{"widgets": []}'), "does not show Verdict"),
        (put(*of("Dashboard", "DashboardBody", "Fn::Sub"), '{"widgets": []}'), "differ in ${AWS::StackName}-dead-letters"),
        (
            put(
                *of("Dashboard", "DashboardBody", "Fn::Sub"),
                '{"widgets": [{"properties": {"metrics": [["Rollcall", "Mood", "FunctionName", "${BackfillFunction}"]]}}]}',
            ),
            "reports no Mood",
        ),
    ],
    alarms.missing_runs_raise_an_alarm: [
        (drop("Resources", "HealthCheckMissingAlarm"), "no dead man's switch"),
        (put(*of("HealthCheckMissingAlarm", "TreatMissingData"), "missing"), "silence is no alarm"),
        (put(*of("HealthCheckMissingAlarm", "Threshold"), 0), "does not count runs"),
        (put(*of("HealthCheckMissingAlarm", "Period"), 3600), "waits 3600 s"),
        (put(*of("RecentIssuesMissingAlarm", "EvaluationPeriods"), 24), "waits 21600 s"),
    ],
}


class RulesCanFail(unittest.TestCase):
    def test_each_fault_is_reported_by_its_rule(self):
        for rule, faults in FAULTS.items():
            for fault, finding in faults:
                template = copy.deepcopy(transformed())
                fault(template)
                with self.subTest(rule=rule.__name__, finding=finding):
                    found = list(rule(template))
                    self.assertTrue(any(finding in sentence for sentence in found), found)

    def test_each_rule_has_a_fault_it_reports(self):
        self.assertEqual(set(FAULTS), set(RULES))


if __name__ == "__main__":
    unittest.main()
