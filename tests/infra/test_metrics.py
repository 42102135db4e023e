"""What alarms and dashboard look for is what the functions write."""

import re
import unittest

from rules.alarms import BACKFILL, HEALTH, METRICS, RECENT
from transformed import INFRA

FUNCTIONS = INFRA.parent / "functions"
RUNTIME = "".join(file.read_text(encoding="utf-8") for file in (FUNCTIONS / "runtime/src").glob("*.rs"))


def main(package: str) -> str:
    return (FUNCTIONS / package / "src/main.rs").read_text(encoding="utf-8")


class Metrics(unittest.TestCase):
    def test_every_metric_is_one_that_its_function_writes(self):
        for function, package in ((HEALTH, "health-check"), (RECENT, "recent-issues"), (BACKFILL, "backfill")):
            for metric in METRICS[function]:
                with self.subTest(package, metric=metric):
                    self.assertTrue(f'"{metric}"' in main(package) + RUNTIME)

    def test_every_metric_that_a_function_names_is_known(self):
        for function, package in ((HEALTH, "health-check"), (RECENT, "recent-issues"), (BACKFILL, "backfill")):
            named = set(re.findall(r'metrics\s*\.(?:count|percentage)\(\s*"(\w+)"', main(package)))
            self.assertTrue(named)
            self.assertLessEqual(named, METRICS[function])

    def test_the_namespace_and_the_dimension_are_theirs(self):
        self.assertTrue('pub const NAMESPACE: &str = "Rollcall";' in RUNTIME)
        self.assertTrue('"Dimensions": [["FunctionName"]]' in RUNTIME)

    def test_the_log_lines_that_are_counted_are_written(self):
        for written in ('alert_outcome = "failed"', 'alert_outcome = "no_topic"', '"alert sent"'):
            with self.subTest(written):
                self.assertTrue(written in RUNTIME)


if __name__ == "__main__":
    unittest.main()
