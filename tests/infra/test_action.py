"""The GitHub action: its inputs, and the step that people wait for, run here against a database that is not there."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]


class Action(unittest.TestCase):
    def test_every_input_is_used_and_every_used_one_is_declared(self):
        used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", (ROOT / "action.yml").read_text(encoding="utf-8")))
        self.assertEqual(used, set(ACTION["inputs"]))

    def test_inputs_reach_the_shell_as_variables_only(self):
        for step in STEPS:
            self.assertNotIn("${{", step["run"])

    def test_the_guides_workflow_gives_it_what_it_needs(self):
        guide = (ROOT / "docs/AUTH_PROFILE_CONSISTENCY_GUIDE.md").read_text(encoding="utf-8")
        workflow = yaml.safe_load(re.search(r"```yaml\n(.*?)```", guide, re.DOTALL)[1])
        step = workflow["jobs"]["rollcall"]["steps"][-1]
        self.assertEqual(set(step["with"]), set(ACTION["inputs"]))

    def test_the_guides_workflow_finds_the_url_in_what_the_cli_prints(self):
        guide = (ROOT / "docs/AUTH_PROFILE_CONSISTENCY_GUIDE.md").read_text(encoding="utf-8")
        workflow = yaml.safe_load(re.search(r"```yaml\n(.*?)```", guide, re.DOTALL)[1])
        step = next(step for step in workflow["jobs"]["rollcall"]["steps"] if step.get("id") == "branch")
        sed = re.search(r"sed -n '.*?'", step["run"], re.DOTALL)[0]
        url = "postgresql://postgres.ref:pass@aws-0-eu.pooler.supabase.com:5432/postgres"
        for line in (f'POSTGRES_URL_NON_POOLING="{url}"', f"POSTGRES_URL_NON_POOLING={url}"):
            printed = f'POSTGRES_URL="other"\n{line}\nSUPABASE_URL="https://x"\n'
            found = subprocess.run(["bash", "-c", sed], input=printed, capture_output=True, text=True, check=True)
            self.assertEqual(found.stdout, url + "\n")

    def test_its_last_step_annotates_and_ends_with_the_verdict(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder, "target/release")
            place.mkdir(parents=True)
            (place / "rollcall").symlink_to(ROOT / "target/debug/rollcall")
            ended = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", STEPS[-1]["run"]],
                env=os.environ
                | {
                    "GITHUB_ACTION_PATH": folder,
                    "GITHUB_ACTIONS": "true",
                    "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/postgres",
                    "DATABASE_CA_CERT": "",
                },
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        self.assertEqual(ended.returncode, 2, ended)
        self.assertIn("\n::error title=rollcall database_unreachable::", ended.stdout)


if __name__ == "__main__":
    unittest.main()
