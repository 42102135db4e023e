import unittest

from schedule import seconds_between_runs


class ScheduleExpressions(unittest.TestCase):
    def test_a_good_expression_has_a_period(self):
        for expression, seconds in [
            ("rate(1 minute)", 60),
            ("rate(5 minutes)", 300),
            ("rate(1 hour)", 3600),
            ("rate(12 hours)", 43200),
            ("rate(1 day)", 86400),
            ("rate(30 days)", 2592000),
        ]:
            with self.subTest(expression):
                self.assertEqual(seconds_between_runs(expression), seconds)

    def test_a_bad_expression_is_refused_with_its_reason(self):
        for expression, reason in [
            ("rate(5 minute)", "plural"),
            ("rate(1 minutes)", "singular"),
            ("rate(1 hours)", "singular"),
            ("rate(10 hour)", "plural"),
            ("rate(0 minutes)", "positive"),
            ("rate(-5 minutes)", "positive"),
            ("rate(05 minutes)", "positive"),
            ("rate(1.5 hours)", "positive"),
            ("rate(five minutes)", "positive"),
            ("rate(\u0665 minutes)", "positive"),
            ("rate(30 seconds)", "not minutes"),
            ("rate(1 week)", "not minutes"),
            ("rate(5 Minutes)", "not minutes"),
            ("rate(5 minutess)", "not minutes"),
            ("rate(5minutes)", "one space"),
            ("rate(5  minutes)", "one space"),
            ("rate( 5 minutes)", "one space"),
            ("rate(5 minutes )", "one space"),
            ("rate()", "one space"),
            ("rate(5 minutes", "form"),
            ("rate(5 minutes) ", "form"),
            ("rate(5 minutes)\n", "form"),
            ("Rate(5 minutes)", "form"),
            ("5 minutes", "form"),
            ("cron(0 * * * ? *)", "form"),
            ("", "form"),
        ]:
            with self.subTest(expression):
                with self.assertRaisesRegex(ValueError, reason):
                    seconds_between_runs(expression)


if __name__ == "__main__":
    unittest.main()
