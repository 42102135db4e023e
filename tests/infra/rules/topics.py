"""The topics: publishers and subscribers."""

import json
from collections.abc import Iterator

from rules.reading import arn, of_type, pattern

OWN_ALARMS = {
    "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
    "ArnLike": {
        "aws:SourceArn": {
            "Fn::Sub": "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-*"
        }
    },
}
ALERTS, ALARMS, INCIDENTS = {"Ref": "AlertTopic"}, {"Ref": "AlarmTopic"}, {"Ref": "IncidentTopic"}


def topics_let_in_their_own_alarms_only(template: dict) -> Iterator[str]:
    """Beside those of the account whose IAM policy says that they may publish."""
    open_topics = set(of_type(template, "AWS::SNS::Topic"))
    if open_topics != {"AlertTopic", "AlarmTopic", "IncidentTopic"}:
        yield f"the topics are {sorted(open_topics)}"
    for name, policy in of_type(template, "AWS::SNS::TopicPolicy").items():
        open_topics -= {topic["Ref"] for topic in policy["Topics"]}
        by_effect = {statement["Effect"]: statement for statement in policy["PolicyDocument"]["Statement"]}
        if len(by_effect) != len(policy["PolicyDocument"]["Statement"]):
            yield f"{name} has more statements than it needs"
        allowed, denied = by_effect.get("Allow", {}), by_effect.get("Deny", {})
        publisher = (allowed.get("Principal"), allowed.get("Action"), allowed.get("Condition"))
        if publisher != ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish", OWN_ALARMS):
            yield f"{name} lets in {json.dumps(publisher)}"
        if (denied.get("Action"), denied.get("Condition")) != (
            "sns:Publish",
            {"Bool": {"aws:SecureTransport": "false"}},
        ):
            yield f"{name} accepts messages without TLS"
    for topic in open_topics:
        yield f"{topic} has no policy"


def everyone_subscribes_to_what_is_for_them(template: dict) -> Iterator[str]:
    """People get alerts and alarms; the pager alarms, and open incidents as a state that goes on and off."""
    expected = {
        "AlertEmailSubscription": (ALERTS, "email", {"Ref": "AlertEmail"}),
        "AlarmEmailSubscription": (ALARMS, "email", {"Ref": "AlertEmail"}),
        "AlarmSubscription": (ALARMS, "https", {"Ref": "PagerUrl"}),
        "IncidentSubscription": (INCIDENTS, "https", {"Ref": "PagerUrl"}),
    }
    found = {
        name: (subscription["TopicArn"], subscription["Protocol"], subscription["Endpoint"])
        for name, subscription in of_type(template, "AWS::SNS::Subscription").items()
    }
    if found != expected:
        yield f"the subscriptions are {json.dumps(found)}"


def slack_is_told_once_and_may_do_nothing(template: dict) -> Iterator[str]:
    channel = of_type(template, "AWS::Chatbot::SlackChannelConfiguration")["SlackChannel"]
    if channel.get("SnsTopicArns") != [ALERTS, ALARMS]:
        yield "Slack hears only a part, or twice"
    if [pattern(policy) for policy in channel.get("GuardrailPolicies", [])] != [
        "arn:${AWS::Partition}:iam::aws:policy/AWSDenyAll"
    ]:
        yield "whoever writes in the channel may use the account"
    if channel.get("IamRoleArn") != arn("SlackRole"):
        yield "Slack has a role of others"
