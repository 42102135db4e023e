"""What a release consists of, made from the programs of the tests: it installs without Rust and network, and runs."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

import yaml
from transformed import TEMPLATES, source

ROOT = Path(__file__).resolve().parents[2]
HERE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
TARGET = f"{platform.machine()}-unknown-linux-musl"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
FUNCTIONS = {
    resource["Properties"]["CodeUri"]
    for name in TEMPLATES
    for resource in source(name)["Resources"].values()
    if resource["Type"] == "AWS::Serverless::Function"
}
# Says when it listens, and leaves with a status of its own when it is asked to.
STUB = "#!/bin/sh\ntrap 'exit 7' TERM\necho ready\nwhile :; do sleep 0.1; done\n"

needs_npm = unittest.skipUnless(os.environ.get("CI") or shutil.which("npm"), "no npm here")


def run(*command, **more) -> str:
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, **more)
    if ended.returncode:
        raise AssertionError(f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def installed_by_npm(folder: Path, *packages: Path) -> Path:
    run("npm", "install", "--offline", "--no-audit", "--no-fund", "--prefix", folder, *packages)
    return folder / "node_modules/.bin/rollcall"


@unittest.skipUnless(sys.platform == "linux" and HERE, "releases are for Linux on x86-64 and arm64")
class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        for uri in FUNCTIONS:
            function = cls.folder / "lambda" / Path(uri).name
            function.mkdir(parents=True)
            (function / "bootstrap").write_text("")
        program = cls.folder / "rollcall"
        run("strip", "-o", program, ROOT / "target/debug/rollcall")
        cls.release = cls.packaged("release", f"{TARGET}={program}", f"aws={cls.folder / 'lambda'}")

    @classmethod
    def packaged(cls, name: str, *inputs: str) -> Path:
        release = cls.folder / name
        release.mkdir()
        run(ROOT / "release/package", release, *inputs)
        return release

    def unpacked(self, name: str) -> Path:
        folder = self.folder / "unpacked"
        with tarfile.open(self.release / f"{name}.tar.gz") as archive:
            archive.extractall(folder)
        return folder / name

    def works(self, program: Path):
        self.assertTrue(run(program, "--version").startswith(f"rollcall {VERSION} "))
        self.assertTrue(run(program, "demo").rstrip().endswith("consistent"))

    def test_a_program_alone_is_unpacked_and_runs(self):
        folder = self.unpacked(f"rollcall-{VERSION}-linux-{HERE}")
        self.assertIn(VERSION, run(folder / "rollcall", "--version"))
        for name in ("LICENSE-APACHE", "LICENSE-MIT"):
            self.assertEqual((folder / name).read_text(), (ROOT / name).read_text())
        of_others = (folder / "LICENSES-OF-DEPENDENCIES").read_text(encoding="utf-8")
        for crate, beginning in (("openssl-src", "Apache License"), ("tokio-postgres", "Copyright")):
            texts = [text for text in of_others.split("==== ") if f"{crate} v" in text.partition("\n")[0]]
            self.assertTrue(any(beginning in text for text in texts), crate)

    def test_a_wheel_installs_and_runs_the_demo(self):
        (wheel,) = self.release.glob("*.whl")
        target = self.folder / "python"
        run(sys.executable, "-m", "pip", "install", "--no-index", "--target", target, wheel)
        self.assertEqual(len(list(target.rglob("LICENSE*"))), 3)
        self.works(target / "bin/rollcall")

    @needs_npm
    def test_npm_packages_install_and_run_the_demo(self):
        packages = self.release.glob("*.tgz")
        self.works(installed_by_npm(self.folder / "npm", *packages))

    @needs_npm
    def test_npms_program_gets_the_signal_and_gives_the_status(self):
        stub = self.folder / "stub"
        stub.write_text(STUB)
        packages = self.packaged("release-of-stub", f"{TARGET}={stub}").glob("*.tgz")
        program = installed_by_npm(self.folder / "npm-of-stub", *packages)
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as started:
            self.assertEqual(started.stdout.readline(), "ready\n")
            started.send_signal(signal.SIGTERM)
            self.assertEqual(started.wait(timeout=30), 7)

    @needs_npm
    def test_npm_without_a_program_for_this_machine_says_so(self):
        program = installed_by_npm(self.folder / "npm-alone", self.release / f"rollcall-cli-{VERSION}.tgz")
        ended = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual((ended.returncode, ended.stdout), (2, ""), ended)
        self.assertIn(f"rollcall-cli-linux-{HERE} is not installed", ended.stderr)

    def test_the_templates_find_every_function_in_the_archive_for_aws(self):
        infra = self.unpacked(f"rollcall-aws-{VERSION}") / "infra"
        self.assertEqual(len(FUNCTIONS), 4)
        for uri in FUNCTIONS:
            mode = (infra / uri / "bootstrap").stat().st_mode
            self.assertEqual(mode & 0o777, 0o755, uri)
        for name in TEMPLATES:
            self.assertTrue((infra / f"{name}.yaml").is_file(), name)

    def test_the_checksums_cover_everything(self):
        run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=self.release)
        summed = {line.split()[1] for line in (self.release / "SHA256SUMS").read_text().splitlines()}
        self.assertEqual(summed, {path.name for path in self.release.iterdir()} - {"SHA256SUMS"})
        self.assertEqual(len(summed), 5)

    def test_the_workflows_name_every_action_by_its_commit(self):
        for path in (ROOT / ".github/workflows").iterdir():
            for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
                for use in [step["uses"] for step in [job, *job.get("steps", [])] if "uses" in step]:
                    self.assertRegex(use, r"^\./|@[0-9a-f]{40}$", path.name)


if __name__ == "__main__":
    unittest.main()
