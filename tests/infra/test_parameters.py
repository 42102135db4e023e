"""Which values CloudFormation accepts for the parameters that have a pattern."""

import re
import unittest

from transformed import source

PEM = "-----BEGIN CERTIFICATE-----\nMIIDxDCCAqygAwIBAgIUbLxMod62P2kt+/Ai\nab==\n-----END CERTIFICATE-----"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rollcall/database-AbC123"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

ACCEPTED = {
    "DatabaseSecretArn": [SECRET, SECRET.replace(":aws:", ":aws-us-gov:")],
    "DatabaseSecretKmsKeyArn": ["", KEY],
    "DatabaseCaCert": ["", PEM, PEM + "\n", PEM + "\n" + PEM + "\n", PEM.replace("\n", "\r\n")],
    "AlertEmail": ["", "on-call+rollcall@example.co.uk"],
    "CriticalEmail": ["", "on-call@example.com"],
    "SlackWorkspaceId": ["", "T012ABCDEFG"],
    "SlackChannelId": ["", "C012ABCDEFG"],
    "PagerDutyUrl": [
        "",
        "https://events.pagerduty.com/integration/0123456789abcdef0123456789abcdef/enqueue",
        "https://events.eu.pagerduty.com/integration/0123456789abcdef0123456789abcdef/enqueue",
    ],
    "DashboardFrameAncestors": ["", "https://admin.example.com", "https://a.example.com https://b.example.com:8443"],
    # One item of the list at a time, as CloudFormation checks them.
    "SubnetIds": ["", "subnet-0123abcd", "subnet-0123456789abcdef0"],
    "SecurityGroupIds": ["", "sg-0123abcd", "sg-0123456789abcdef0"],
}
REFUSED = {
    "DatabaseSecretArn": [
        "",
        "rollcall/database",
        SECRET.removesuffix("-AbC123"),
        SECRET + "*",
        "postgresql://user:pass@host/db",
        KEY,
    ],
    "DatabaseSecretKmsKeyArn": ["alias/aws/secretsmanager", KEY.replace("key/", "alias/"), SECRET, "*"],
    "DatabaseCaCert": [
        "/etc/ssl/ca.pem",
        PEM.replace("\n", " "),
        PEM.replace("\n", "\\n"),
        PEM.replace("CERTIFICATE", "PRIVATE KEY"),
        PEM.removesuffix("-----END CERTIFICATE-----"),
        "# Supabase\n" + PEM,
    ],
    "AlertEmail": ["on-call", "on-call@example", "a@example.com,b@example.com ", "on call@example.com"],
    "CriticalEmail": ["@example.com"],
    "SlackWorkspaceId": ["my-team", "t012abcdefg"],
    "SlackChannelId": ["#alerts", "alerts"],
    "PagerDutyUrl": [
        "0123456789abcdef0123456789abcdef",
        "http://events.pagerduty.com/integration/0123/enqueue",
        "https://example.com/integration/0123/enqueue",
        "https://events.pagerduty.com.example.com/integration/0123/enqueue",
    ],
    "DashboardFrameAncestors": ["*", "admin.example.com", "http://admin.example.com", "https://a.example.com; x"],
    "SubnetIds": ["vpc-0123abcd", "subnet-XYZ", "subnet-0123abcd subnet-0123abce"],
    "SecurityGroupIds": ["default", "sg-0123abcd "],
}


def accepts(parameter: str, value: str) -> bool:
    return re.fullmatch(source()["Parameters"][parameter]["AllowedPattern"], value) is not None


class Patterns(unittest.TestCase):
    def test_good_values_are_accepted(self):
        for parameter, values in ACCEPTED.items():
            for value in values:
                with self.subTest(parameter, value=value):
                    self.assertTrue(accepts(parameter, value))

    def test_bad_values_are_refused(self):
        for parameter, values in REFUSED.items():
            for value in values:
                with self.subTest(parameter, value=value):
                    self.assertFalse(accepts(parameter, value))

    def test_every_pattern_is_tried_both_ways(self):
        patterned = {name for name, parameter in source()["Parameters"].items() if "AllowedPattern" in parameter}
        self.assertEqual(patterned, set(ACCEPTED))
        self.assertEqual(patterned, set(REFUSED))

    def test_the_largest_environment_fits_into_a_function(self):
        # Lambda takes 4 KB of names and values; a secret's name has 512 characters at most, a topic's 256.
        others = len(SECRET) + 512 + len("arn:aws-us-gov:sns:us-gov-west-1:123456789012:") + 256
        names = len("DATABASE_SECRET_ARNDATABASE_CA_CERTCRITICAL_TOPIC_ARNRUST_LOGerror")
        names += len("ALERT_MIN_MISSING1000000ALERT_MIN_PERCENT100ALERT_REMINDER_MINUTES10080")
        self.assertLessEqual(source()["Parameters"]["DatabaseCaCert"]["MaxLength"] + others + names, 4096)


if __name__ == "__main__":
    unittest.main()
