import re
import unittest

import yaml

from transformed import TEMPLATE, source

README = (TEMPLATE.parent / "README.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load((TEMPLATE.parent / "parameters.example.yaml").read_text(encoding="utf-8"))


class Documentation(unittest.TestCase):
    def test_the_readme_lists_every_parameter_with_its_default_in_the_templates_order(self):
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", README, re.MULTILINE)
        wanted = []
        for name, parameter in source()["Parameters"].items():
            default = parameter.get("Default")
            shown = "none, required" if default is None else "empty" if default == "" else f"`{default}`"
            wanted.append((name, shown))
        self.assertEqual(rows, wanted)

    def test_the_readme_names_only_outputs_that_exist(self):
        named = set(re.findall(r"stack's output\s+`(\w+)`", README))
        self.assertEqual(named, {"BackfillUrl", "DashboardPageUrl", "DeadLetterQueueUrl"})
        self.assertLessEqual(named, source()["Outputs"].keys())

    def test_the_numbers_in_the_readme_are_the_templates(self):
        kinds = [resource["Type"] for resource in source()["Resources"].values()]
        self.assertEqual(kinds.count("AWS::CloudWatch::Alarm"), 17)
        self.assertIn("seventeen CloudWatch alarms", README)
        self.assertEqual(kinds.count("AWS::Logs::LogGroup"), 5)
        self.assertIn("five log groups", README)
        timeout = source()["Resources"]["BackfillFunction"]["Properties"]["Timeout"]
        self.assertIn(f"ends within {timeout} seconds", README)

    def test_the_example_parameters_would_be_accepted(self):
        for name, value in EXAMPLE.items():
            with self.subTest(name):
                self.assertRegex(value, source()["Parameters"][name]["AllowedPattern"])


if __name__ == "__main__":
    unittest.main()
