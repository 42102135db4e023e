import json
import re
import unittest

from cfnlint import api
from cfnlint.config import ManualArgs

from rules import RULES
from transformed import TEMPLATE, source, transformed

REGIONS = ["us-east-1", "eu-central-1", "ap-southeast-1"]


def lint(text: str) -> list[str]:
    """Every finding, informational ones included."""
    matches = api.lint(text, config=ManualArgs(regions=REGIONS, include_checks=["I"]))
    return [f"{match.rule.id} line {match.linenumber}: {match.message}" for match in matches]


class Template(unittest.TestCase):
    maxDiff = None

    def test_the_template_as_written_has_no_lint_finding(self):
        self.assertEqual(lint(TEMPLATE.read_text(encoding="utf-8")), [])

    def test_the_transformed_template_has_no_lint_finding(self):
        self.assertEqual(lint(json.dumps(transformed(), indent=1)), [])

    def test_the_linter_reports_what_is_wrong_with_a_transformed_template(self):
        broken = json.loads(json.dumps(transformed()))
        broken["Resources"]["HealthCheckFunction"]["Properties"]["Timeout"] = 1000
        broken["Resources"]["HealthCheckFunctionHourly"]["Properties"]["FlexibleTimeWindow"]["Mode"] = "NEVER"
        findings = "\n".join(lint(json.dumps(broken, indent=1)))
        self.assertIn("1000", findings)
        self.assertIn("NEVER", findings)

    def test_the_template_keeps_every_rule(self):
        for rule in RULES:
            with self.subTest(rule.__name__):
                self.assertEqual(list(rule(transformed())), [])

    def test_every_star_as_resource_has_a_comment_that_says_why(self):
        lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
        starred = [number for number, line in enumerate(lines) if re.search(r"Resource:.*['\"]\*['\"]", line)]
        self.assertEqual(len(starred), 4)
        for number in starred:
            with self.subTest(line=number + 1):
                self.assertRegex(lines[number - 1], r"^\s*# \w")

    def test_code_and_binary_of_each_function_are_a_package_of_the_workspace(self):
        # Read from the written template: the transform needs uploaded code and loses the folder.
        for name, resource in source()["Resources"].items():
            if resource["Type"] != "AWS::Serverless::Function":
                continue
            with self.subTest(name):
                folder = (TEMPLATE.parent / resource["Properties"]["CodeUri"]).resolve()
                manifest = (folder / "Cargo.toml").read_text(encoding="utf-8")
                # By a pattern: Python has a parser of TOML since 3.11 only.
                package = re.match(r'\[package\]\nname = "([^"]+)"\n', manifest)
                self.assertIsNotNone(package, "the manifest does not begin with the package's name")
                metadata = resource["Metadata"]
                self.assertEqual(metadata["BuildMethod"], "rust-cargolambda")
                self.assertEqual(metadata["BuildProperties"]["Binary"], package[1])
                self.assertTrue((folder / "src" / "main.rs").is_file())


if __name__ == "__main__":
    unittest.main()
