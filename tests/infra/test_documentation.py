import re
import unittest

from rules.alarms import ALARMS, EXPECTED, HEALTH, INCIDENTS, METRICS, RECENT, alarms_by_name, stats
from transformed import INFRA, TEMPLATES, source, together

README = (INFRA / "README.md").read_text(encoding="utf-8")
# Of the core's checks, by default.
RUNS = {HEALTH: 730, RECENT: 8_760}
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def rows(head: str) -> list[list[str]]:
    """The cells of the table with this head."""
    table = re.search(rf"^\| {re.escape(head)} .*\n\|---.*\n((?:\|.*\n)+)", README, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]


class Documentation(unittest.TestCase):
    maxDiff = None

    def test_the_readme_lists_every_parameter_with_its_default_and_its_templates(self):
        documented = {name.strip("`"): (of.split(", "), default) for name, of, default, _ in rows("parameter")}
        wanted = {}
        for template in TEMPLATES:
            for name, parameter in source(template)["Parameters"].items():
                default = parameter.get("Default")
                shown = "none, required" if default is None else "empty" if default == "" else f"`{default}`"
                wanted.setdefault(name, ([], shown))[0].append(template)
        self.assertEqual(documented, wanted)

    def test_the_readme_lists_every_alarm_with_whom_it_notifies(self):
        documented = {name.strip("`"): to for name, _, to, _ in rows("alarm")}
        people = {"AlertTopic": "alerts", "AlarmTopic": "alarms", "IncidentTopic": "pager"}
        self.assertEqual(documented, {name: people[topic["Ref"]] for name, (_, _, topic, _) in EXPECTED.items()})

    def test_the_readme_lists_every_template(self):
        documented = [(file.strip("`"), stack.strip("`")) for file, _, stack in rows("template")]
        wanted = [(f"{name}.yaml", "rollcall" if name == "template" else f"rollcall-{name}") for name in TEMPLATES]
        self.assertEqual(documented, wanted)

    def test_the_readme_names_only_outputs_that_exist(self):
        named = set(re.findall(r"output\s+`(\w+)`", README))
        self.assertTrue(named)
        self.assertLessEqual(named, together()["Outputs"].keys())

    def test_every_deployment_gives_what_is_required_and_what_exists(self):
        deployed = set()
        for line in COMMANDS:
            if not line.startswith("sam deploy"):
                continue
            name = re.search(r"--template infra/(\w+)\.yaml", line)[1]
            stack = re.search(r"--stack-name (\S+)", line)[1]
            given = set(re.findall(r"(\w+)=", line.partition("--parameter-overrides")[2]))
            parameters = source(name)["Parameters"]
            required = {key for key, parameter in parameters.items() if "Default" not in parameter}
            with self.subTest(line):
                self.assertLessEqual(given, parameters.keys())
                # asked for, or kept from before
                if "--guided" not in line and stack not in deployed:
                    self.assertLessEqual(required, given)
                    self.assertIn("--resolve-s3", line)
            deployed.add(stack)
        self.assertGreaterEqual(deployed, {"rollcall"} | {f"rollcall-{name}" for name in TEMPLATES[1:]})

    def test_a_hidden_parameter_is_asked_for_and_never_stands_in_a_command(self):
        for name in TEMPLATES:
            for parameter, definition in source(name)["Parameters"].items():
                if definition.get("NoEcho"):
                    self.assertFalse(any(f"{parameter}=" in line for line in COMMANDS))
                    self.assertTrue(any("--guided" in line and f"infra/{name}.yaml" in line for line in COMMANDS))

    def test_no_secret_is_put_into_a_file(self):
        self.assertNotRegex(README, r"file://(?!/dev/stdin)")

    def test_the_costs_are_computed_from_what_the_templates_create(self):
        alarms = alarms_by_name(together())
        watched = {
            topic: [len(stats(alarms[name])) for name, expected in EXPECTED.items() if predicate(name, expected[2])]
            for topic, predicate in {
                "core": lambda _, topic: topic == ALARMS,
                "repair": lambda name, _: name.startswith("backfill"),
                "pager": lambda name, topic: topic == INCIDENTS or name.startswith("pager"),
            }.items()
        }
        runs = sum(RUNS.values())
        wanted = [
            (
                f"custom metrics: {len(METRICS[HEALTH])} of the health check, {len(METRICS[RECENT])} of the check of "
                "recent signups",
                len(METRICS[HEALTH]) + len(METRICS[RECENT]),
            ),
            (f"metrics that the {len(watched['core'])} alarms watch", sum(watched["core"])),
            ("the secret", 1),
            (f"invocations by the schedules: {RUNS[HEALTH]:,} and {RUNS[RECENT]:,}", runs),
            (f"GB-seconds: {runs:,} runs of half a second, 256 MB", round(runs * 0.5 * 256 / 1024)),
            (f"GB of logs: {runs:,} runs of 4 KB", round(runs * 4 / 1_000_000, 2)),
        ]
        *lines, total = rows("of the core")
        self.assertEqual([(what, float(count.replace(",", ""))) for what, count, _, _ in lines], wanted)
        month = 0
        for what, count, price, cost in lines:
            with self.subTest(what):
                self.assertEqual(f"{float(count.replace(',', '')) * float(price):.2f}", cost)
            month += float(cost)
        self.assertEqual(total[3], f"{month:.2f}")
        repair, pager = sum(watched["repair"]), sum(watched["pager"])
        said = " ".join(README.split())
        self.assertIn(
            f"The repair adds {0.4 + 0.1 * repair:.2f}: a secret, and {repair} metrics that {len(watched['repair'])} alarms",
            said,
        )
        self.assertIn(f"The pager adds {0.1 * pager:.2f}: {pager} metrics that {len(watched['pager'])} alarms watch", said)

    def test_the_numbers_in_the_readme_are_the_templates(self):
        timeout = source("repair")["Resources"]["BackfillFunction"]["Properties"]["Timeout"]
        self.assertIn(f"ends within {timeout} seconds", README)
        self.assertIn("at most 50 letters", README)
        self.assertEqual(source("repair")["Parameters"]["Core"]["AllowedPattern"], "^[A-Za-z][A-Za-z0-9-]{0,49}$")


if __name__ == "__main__":
    unittest.main()
