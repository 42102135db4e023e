"""Which values CloudFormation accepts for the parameters that have a pattern."""

import re
import unittest

from transformed import INFRA, together

PEM = "-----BEGIN CERTIFICATE-----\nMIIDxDCCAqygAwIBAgIUbLxMod62P2kt+/Ai\nab==\n-----END CERTIFICATE-----"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rollcall/database-AbC123"

ACCEPTED = {
    "DatabaseSecretArn": [SECRET, SECRET.replace(":aws:", ":aws-us-gov:"), SECRET.replace(":aws:", ":aws-cn:")],
    "AlertEmail": ["on-call+rollcall@example.co.uk"],
    "DatabaseCaCert": ["", PEM, PEM + "\n", PEM + "\n" + PEM + "\n", PEM.replace("\n", "\r\n")],
    "ProjectName": ["", "Shop 2.0"],
    "EnvironmentName": ["", "production", "eu-1.staging"],
    "DashboardUrl": ["", "https://console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards/dashboard/x"],
    "GuideUrl": ["", "https://wiki.example.com/on-call/rollcall"],
    # One item of the list at a time, as CloudFormation checks them.
    "SubnetIds": ["", "subnet-0123abcd", "subnet-0123456789abcdef0"],
    "SecurityGroupIds": ["", "sg-0123abcd", "sg-0123456789abcdef0"],
    "Core": ["rollcall", "rollcall-shop"],
    "FrameAncestors": ["", "https://admin.example.com", "https://a.example.com https://b.example.com:8443"],
    "PagerUrl": [
        "https://events.pagerduty.com/integration/0123456789abcdef0123456789abcdef/enqueue",
        "https://events.eu.pagerduty.com/x-ere/0123456789abcdef0123456789abcdef",
        "https://api.opsgenie.com/v1/json/amazonsns?apiKey=0123-4567",
        "https://alerts.example.com:8443/sns",
    ],
    "WorkspaceId": ["T012ABCDEFG"],
    "ChannelId": ["C012ABCDEFG"],
}
REFUSED = {
    "DatabaseSecretArn": [
        "",
        "rollcall/database",
        SECRET.removesuffix("-AbC123"),
        SECRET + "*",
        "postgresql://user:pass@host/db",
    ],
    "AlertEmail": ["", "on-call", "on-call@example", "a@example.com,b@example.com ", "on call@example.com"],
    "DatabaseCaCert": [
        "/etc/ssl/ca.pem",
        PEM.replace("\n", " "),
        PEM.replace("\n", "\\n"),
        PEM.replace("CERTIFICATE", "PRIVATE KEY"),
        PEM.removesuffix("-----END CERTIFICATE-----"),
        "# Supabase\n" + PEM,
    ],
    "ProjectName": ['a "quoted" one', "a\nb", "x" * 31],
    "EnvironmentName": ["${x}", "x" * 16],
    "DashboardUrl": ["http://example.com", "dashboard", "https://example.com/a b"],
    "GuideUrl": ["javascript:alert(1)", "https://example.com/" + "x" * 200],
    "SubnetIds": ["vpc-0123abcd", "subnet-XYZ", "subnet-0123abcd subnet-0123abce"],
    "SecurityGroupIds": ["default", "sg-0123abcd "],
    "Core": ["", "1st", "roll_call", "x" * 51],
    "FrameAncestors": ["*", "admin.example.com", "http://admin.example.com", "https://a.example.com; x"],
    "PagerUrl": ["", "0123456789abcdef", "http://events.pagerduty.com/integration/0123/enqueue"],
    "WorkspaceId": ["", "my-team", "t012abcdefg"],
    "ChannelId": ["", "#alerts", "alerts"],
}


def accepts(parameter: str, value: str) -> bool:
    return re.fullmatch(together()["Parameters"][parameter]["AllowedPattern"], value) is not None


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
        patterned = {name for name, parameter in together()["Parameters"].items() if "AllowedPattern" in parameter}
        self.assertEqual(patterned, set(ACCEPTED))
        self.assertEqual(patterned, set(REFUSED))

    def test_the_largest_environment_fits_into_a_function(self):
        # Lambda takes 4 KB of names and values; a secret's name has 256 characters here.
        parameters, largest = together()["Parameters"], 0
        for name, value in (
            ("DATABASE_SECRET_ARN", len(SECRET.replace(":aws:", ":aws-us-gov:")) - len("rollcall/database") + 256),
            ("DATABASE_CA_CERT", parameters["DatabaseCaCert"]["MaxLength"]),
            ("ALERT_TOPIC_ARN", len("arn:aws-us-gov:sns:us-gov-west-1:123456789012:-alerts") + 50),
            ("ALERT_MIN_MISSING", len("1000000")),
            ("ALERT_MIN_PERCENT", len("100")),
            ("ALERT_REMINDER_MINUTES", len("10080")),
            ("PROJECT_NAME", 50),
            ("ENVIRONMENT_NAME", 15),
            ("DASHBOARD_URL", len("https://") + 190),
            ("GUIDE_URL", len("https://") + 190),
            ("PROBE", len("auto")),
        ):
            largest += len(name) + value
        self.assertLessEqual(largest, 4096)

    def test_the_longest_subject_of_the_state_machine_is_one_that_sns_takes(self):
        definition = (INFRA / "backfill.asl.json").read_text(encoding="utf-8")
        subjects = re.findall(r'"Subject": "(.*)"', definition)
        self.assertEqual(len(subjects), 3)
        for subject in subjects:
            # a stack's name in place of the project's, and an environment
            self.assertLessEqual(len(subject.replace("${Project}", "x" * 50 + " " + "x" * 15)), 100, subject)


if __name__ == "__main__":
    unittest.main()
