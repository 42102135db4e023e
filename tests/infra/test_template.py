import json
import re
import unittest

from cfnlint import api
from cfnlint.config import ManualArgs

from rules import RULES
from transformed import INFRA, TEMPLATES, path, source, together, transformed

REGIONS = ["us-east-1", "eu-central-1", "ap-southeast-1"]
# Slack's service is not there.
OTHER_PARTITIONS = ["us-gov-west-1", "cn-north-1"]
BYTES_THAT_CLOUDFORMATION_TAKES = 51_200
LINES_OF_THE_CORE = 500


def lint(text: str, regions: list[str]) -> list[str]:
    """Every finding, informational ones included."""
    matches = api.lint(text, config=ManualArgs(regions=regions, include_checks=["I"]))
    return [f"{match.rule.id} line {match.linenumber}: {match.message}" for match in matches]


class Template(unittest.TestCase):
    maxDiff = None

    def test_the_templates_have_no_lint_finding_as_written_nor_transformed(self):
        for name in TEMPLATES:
            regions = REGIONS if name == "slack" else REGIONS + OTHER_PARTITIONS
            with self.subTest(name):
                if "Transform" in source(name):
                    self.assertEqual(lint(path(name).read_text(encoding="utf-8"), regions), [])
                self.assertEqual(lint(json.dumps(transformed(name), indent=1), regions), [])

    def test_the_linter_reports_what_is_wrong_with_a_transformed_template(self):
        broken = json.loads(json.dumps(transformed("template")))
        broken["Resources"]["HealthCheckFunction"]["Properties"]["Timeout"] = 1000
        broken["Resources"]["HealthCheckFunctionSchedule"]["Properties"]["FlexibleTimeWindow"]["Mode"] = "NEVER"
        findings = "\n".join(lint(json.dumps(broken, indent=1), REGIONS))
        self.assertIn("1000", findings)
        self.assertIn("NEVER", findings)

    def test_the_templates_keep_every_rule(self):
        for rule in RULES:
            with self.subTest(rule.__name__):
                self.assertEqual(list(rule(together())), [])

    def test_the_core_is_small_and_each_template_fits_into_a_request(self):
        self.assertEqual({file.stem for file in INFRA.glob("*.yaml") if not file.name.startswith(".")}, set(TEMPLATES))
        self.assertLessEqual(len(path("template").read_text(encoding="utf-8").splitlines()), LINES_OF_THE_CORE)
        for name in TEMPLATES:
            with self.subTest(name):
                self.assertLess(path(name).stat().st_size, BYTES_THAT_CLOUDFORMATION_TAKES)
                self.assertLess(len(json.dumps(transformed(name))), BYTES_THAT_CLOUDFORMATION_TAKES)

    def test_a_parameter_of_one_name_is_the_same_everywhere(self):
        known = {}
        for name in TEMPLATES:
            for parameter, definition in source(name)["Parameters"].items():
                # the repair's secret is another role's
                same = {key: value for key, value in definition.items() if key != "Description"}
                with self.subTest(name, parameter=parameter):
                    self.assertEqual(known.setdefault(parameter, same), same)

    def test_no_partition_is_fixed(self):
        for file in INFRA.iterdir():
            if file.suffix in (".yaml", ".json"):
                with self.subTest(file.name):
                    self.assertIsNone(re.search(r"arn:aws:", file.read_text(encoding="utf-8")))

    def test_every_star_as_resource_has_a_comment_that_says_why(self):
        for name in TEMPLATES:
            lines = path(name).read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines):
                if re.search(r"Resource:.*\*['\"]?$", line):
                    above = "\n".join(lines[number - 4 : number])
                    with self.subTest(name, line=number + 1):
                        self.assertRegex(above, r"(?m)^\s*# \w")

    def test_everyone_is_let_in_nowhere(self):
        for name in TEMPLATES:
            for statement in re.findall(r"- Sid: \w+\n(?:\s+(?!- Sid)\S.*\n)+", path(name).read_text(encoding="utf-8")):
                with self.subTest(name, statement=statement.strip().splitlines()[0]):
                    if "Principal: '*'" in statement:
                        self.assertIn("Effect: Deny", statement)
                    if re.search(r"Action:.*\*", statement):
                        self.assertIn("Effect: Deny", statement)
                    self.assertNotRegex(statement, r"Not(Action|Resource|Principal):")

    def test_one_build_makes_what_the_templates_deploy(self):
        readme = (INFRA / "README.md").read_text(encoding="utf-8")
        release = (INFRA.parent / "release/build").read_text(encoding="utf-8")
        builds = set(re.findall(r"cargo lambda build --release --arm64( --package .*)", readme + release))
        self.assertEqual(len(builds), 1, "documentation and release build in more than one way")
        built = set(re.findall(r"--package (\S+)", builds.pop()))
        deployed = set()
        for name in TEMPLATES:
            for resource in source(name)["Resources"].values():
                if resource["Type"] == "AWS::Serverless::Function":
                    # so that `sam build`, out of habit, does no harm
                    self.assertEqual(resource["Metadata"], {"SkipBuild": True})
                    folder = re.fullmatch(r"\.\./target/lambda/([a-z-]+)/", resource["Properties"]["CodeUri"])
                    deployed.add(folder[1])
        self.assertEqual(built, deployed)
        for package in built:
            manifest = (INFRA.parent / "functions" / package / "Cargo.toml").read_text(encoding="utf-8")
            self.assertIn(f'name = "{package}"', manifest)


if __name__ == "__main__":
    unittest.main()
