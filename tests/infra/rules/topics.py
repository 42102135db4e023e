"""The alert topics: encryption, publishers, subscribers."""

import json
from collections.abc import Iterator

from rules.reading import arn, of_type, pattern, statements

OWN_ALARMS = {
    "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
    "ArnLike": {
        "aws:SourceArn": {
            "Fn::Sub": "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-*"
        }
    },
}


def topics_are_encrypted_with_a_key_that_alarms_may_use(template: dict) -> Iterator[str]:
    topics = of_type(template, "AWS::SNS::Topic")
    if set(topics) != {"AlertTopic", "CriticalTopic"}:
        yield f"the topics are {sorted(topics)}"
    for name, topic in topics.items():
        if topic.get("KmsMasterKeyId") != arn("TopicKey"):
            yield f"{name} is encrypted with {json.dumps(topic.get('KmsMasterKeyId'))}"
    key = of_type(template, "AWS::KMS::Key")["TopicKey"]
    if key.get("EnableKeyRotation") is not True:
        yield "the topics' key is never rotated"
    for_alarms = [
        statement
        for statement in statements(key["KeyPolicy"])
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    if [sorted(statement["Action"]) for statement in for_alarms] != [["kms:Decrypt", "kms:GenerateDataKey*"]]:
        yield "alarms cannot use the topics' key"
    elif for_alarms[0].get("Condition") != OWN_ALARMS:
        yield "alarms of others can use the topics' key"


def topic_policies_let_in_only_their_publishers(template: dict) -> Iterator[str]:
    alarms = ({"Service": "cloudwatch.amazonaws.com"}, OWN_ALARMS)
    publishers = {
        "AlertTopic": [({"AWS": arn("HealthCheckRole")}, None), alarms],
        "CriticalTopic": [({"AWS": arn("RecentIssuesRole")}, None), alarms],
    }
    policies = {
        policy["Topics"][0]["Ref"]: policy["PolicyDocument"]
        for policy in of_type(template, "AWS::SNS::TopicPolicy").values()
    }
    for topic, expected in publishers.items():
        if topic not in policies:
            yield f"{topic} has no policy"
            continue
        allowed = []
        plain_refused = False
        for statement in statements(policies[topic]):
            if statement["Action"] != "sns:Publish" or statement["Resource"] != {"Ref": topic}:
                yield f"{topic}: {statement.get('Sid')} is about something else"
            elif statement["Effect"] == "Allow":
                allowed.append((statement["Principal"], statement.get("Condition")))
            else:
                plain_refused |= statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        if allowed != expected:
            yield f"{topic} can be published to by {json.dumps(allowed)}"
        if not plain_refused:
            yield f"{topic} accepts messages without TLS"


def email_is_subscribed_only_when_given(template: dict) -> Iterator[str]:
    expected = {
        "AlertTopic": ("HasAlertEmail", {"Ref": "AlertEmail"}),
        "CriticalTopic": ("HasCriticalEmail", {"Ref": "CriticalEmail"}),
    }
    found = {}
    for name, subscription in of_type(template, "AWS::SNS::Subscription").items():
        if subscription.get("Protocol") == "email":
            condition = template["Resources"][name].get("Condition")
            found[subscription["TopicArn"]["Ref"]] = (condition, subscription["Endpoint"])
    if found != expected:
        yield f"the e-mail subscriptions are {json.dumps(found)}"


def the_pager_gets_alarms_and_people_get_words(template: dict) -> Iterator[str]:
    """An alarm that goes off and comes to rest under one name is what PagerDuty matches trigger and resolve by."""
    pagers = {
        name: subscription
        for name, subscription in of_type(template, "AWS::SNS::Subscription").items()
        if subscription.get("Protocol") == "https"
    }
    if set(pagers) != {"PagerDutySubscription"}:
        yield f"the https subscriptions are {sorted(pagers)}"
        return
    pager = pagers["PagerDutySubscription"]
    if template["Resources"]["PagerDutySubscription"].get("Condition") != "HasPagerDuty":
        yield "somebody is paged who was not asked for"
    if pager.get("TopicArn") != {"Ref": "CriticalTopic"} or pager.get("Endpoint") != {"Ref": "PagerDutyUrl"}:
        yield "the pager listens elsewhere"
    if (pager.get("FilterPolicyScope"), pager.get("FilterPolicy")) != ("MessageBody", {"AlarmName": [{"exists": True}]}):
        yield "the pager gets what it cannot match"
    if template["Parameters"]["PagerDutyUrl"].get("NoEcho") is not True:
        yield "the pager's key can be read in the console"
    mail = template["Resources"]["CriticalEmailSubscription"]["Properties"]
    words = ("MessageAttributes", {"rollcall_kind": [{"exists": True}]})
    if (mail.get("FilterPolicyScope"), mail.get("FilterPolicy")) != words:
        yield "who reads the critical topic's mail reads everything twice"


def slack_is_told_and_may_do_nothing(template: dict) -> Iterator[str]:
    channels = of_type(template, "AWS::Chatbot::SlackChannelConfiguration")
    if set(channels) != {"SlackChannel"}:
        yield f"the Slack channels are {sorted(channels)}"
        return
    channel = channels["SlackChannel"]
    for name in ("SlackChannel", "SlackRole"):
        if template["Resources"][name].get("Condition") != "HasSlack":
            yield f"{name} exists without a Slack channel"
    if channel.get("SnsTopicArns") != [{"Ref": "AlertTopic"}, {"Ref": "CriticalTopic"}]:
        yield "Slack hears only a part"
    if [pattern(policy) for policy in channel.get("GuardrailPolicies", [])] != [
        "arn:${AWS::Partition}:iam::aws:policy/AWSDenyAll"
    ]:
        yield "whoever writes in the channel may use the account"
    if channel.get("IamRoleArn") != arn("SlackRole"):
        yield "Slack has a role of others"
    role = template["Resources"]["SlackRole"]["Properties"]
    trust = [statement.get("Principal") for statement in role["AssumeRolePolicyDocument"]["Statement"]]
    if trust != [{"Service": "chatbot.amazonaws.com"}]:
        yield "Slack's role can be assumed by others"
