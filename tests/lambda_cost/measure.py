#!/usr/bin/env python3
"""What the function health-check costs, beside one for Node.js that sends the same statements.

    python3 tests/lambda_cost/measure.py

builds the function, a project on a server of its own (over TLS with a private authority, as on Supabase) and the bundle for
Node.js, which is installed from npm, under target/. It needs Node.js 20 or newer and PostgreSQL. A Runtime API, a Secrets
Manager and an SNS of its own stand around each process; all take turns, round after round.

CPU is that of the process with all its threads, by the scheduler's own account, in milliseconds; medians over the rounds.
Exit status 1: a goal is missed.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

from node_bundle import bundle
from runtime_api import RuntimeApi

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
OURS, NODE = "health-check", "Node.js"
WARM_INVOCATIONS = 10
FIGURES = {
    "init": "CPU until it asks for work, ms",
    "first": "CPU of the first invocation, ms",
    "warm": "CPU of a warm invocation, ms",
    "peak": "largest resident memory, MB",
    "size": "program (stripped) or bundle, MB",
}


class Process:
    """A function that has asked for work."""

    def __init__(self, command, project, **environment):
        self.api = RuntimeApi(json.dumps({"DATABASE_URL": project["url"] + "?sslmode=verify-full"}))
        given = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL_SNS": f"http://{self.api.address}",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{self.api.address}",
            "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
            "DATABASE_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:database-abcdef",
            "DATABASE_CA_CERT": pathlib.Path(project["ca"]).read_text(),
        }
        self._process = subprocess.Popen(
            command, env={**given, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.api.wait_for_poll()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self.api.close()

    def invoke(self):
        """What the invocation took of CPU, in milliseconds, and its answer."""
        before = self.cpu()
        answer = self.api.invoke(b"{}")
        return self.cpu() - before, json.loads(answer)

    def cpu(self):
        total = 0
        for task in pathlib.Path(f"/proc/{self._process.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                # a thread that has just ended
                pass
        return total / 1e6

    def peak(self):
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


def statements(command, project):
    """What a warm health check asks, by the server's log; it has to find everything consistent."""
    log = pathlib.Path(project["log"])
    with Process(command, {**project, "url": project["logged_url"]}) as process:
        process.invoke()
        offset = log.stat().st_size
        answer = process.invoke()[1]
        if answer.get("verdict") != "consistent":
            raise SystemExit(f"the project is not consistent: {answer}")
        text = log.read_bytes()[offset:].decode()
    asked = []
    for level, line in re.findall(r"^logged\|(\w+):  (.*(?:\n\t.*)*)$", text, re.MULTILINE):
        line = line.replace("\n\t", "\n")
        if line.startswith("statement: "):
            asked.append({"sql": line.removeprefix("statement: ")})
        elif line.startswith("execute <unnamed>: "):
            asked.append({"sql": line.removeprefix("execute <unnamed>: "), "values": []})
        elif level == "DETAIL" and line.startswith("parameters: "):
            values = re.findall(r"\$\d+ = (?:(NULL)|'((?:[^']|'')*)')", line)
            asked[-1]["values"] = [None if null else value.replace("''", "'") for null, value in values]
            # this client names no types
            if asked[-1]["values"][0][:2] == '{"':
                asked[-1]["sql"] = re.sub(r"\$1\b(?!::)", "$1::jsonb", asked[-1]["sql"])
    if len(asked) < 5:
        raise SystemExit("the server's log does not show what the function asks")
    return asked


def one_round(command, project, environment):
    with Process(command, project, **environment) as process:
        figures = {"init": process.cpu(), "first": process.invoke()[0]}
        figures["warm"] = statistics.median(process.invoke()[0] for _ in range(WARM_INVOCATIONS))
        figures["peak"] = process.peak()
        return figures


def goals(ours, node):
    for figure, times in (("init", 6), ("first", 6)):
        yield FIGURES[figure], ours[figure], f"≤ 8, and ≥ {times} × less than Node.js", (
            ours[figure] <= 8 and node[figure] >= times * ours[figure]
        )
    yield FIGURES["peak"], ours["peak"], "≤ 16", ours["peak"] <= 16


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--binaries", type=pathlib.Path, help="measure the function in this folder; build none")
    parser.add_argument("--no-goals", action="store_true", help="exit 0 whatever the figures are")
    arguments = parser.parse_args()

    def cargo(*words):
        subprocess.run(["cargo", "build", "--quiet", *words], cwd=ROOT, check=True)

    cargo("-p", "rollcall-tests", "--bin", "lambda-project")
    if not arguments.binaries:
        cargo("--release", "-p", OURS)
    binaries = (arguments.binaries or TARGET / "release").absolute()
    folder = TARGET / "lambda-cost"
    commands = {OURS: [str(binaries / OURS)], NODE: ["node", str(bundle(folder))]}

    server = subprocess.Popen([TARGET / "debug/lambda-project"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("there is no project to measure on; the reason is above")
        project = json.loads(line)
        asked = folder / "statements.json"
        asked.write_text(json.dumps(statements(commands[OURS], project)))
        taken = {name: [] for name in commands}
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            for name, command in commands.items():
                environment = {"STATEMENTS": str(asked)} if name == NODE else {}
                taken[name].append(one_round(command, project, environment))
    finally:
        server.stdin.close()
        server.wait()
    figures = {
        name: {figure: statistics.median(one[figure] for one in rounds) for figure in rounds[0]}
        for name, rounds in taken.items()
    }
    for name, command in commands.items():
        figures[name]["size"] = pathlib.Path(command[-1]).stat().st_size / 1e6

    print(f"| | {' | '.join(figures)} |\n|---|{'---|' * len(figures)}")
    for figure, words in FIGURES.items():
        print(f"| {words} | {' | '.join(f'{figures[name][figure]:.1f}' for name in figures)} |")
    print("\n| health-check | seen | goal | |\n|---|---|---|---|")
    judged = list(goals(figures[OURS], figures[NODE]))
    for words, seen, goal, is_met in judged:
        print(f"| {words} | {seen:.1f} | {goal} | {'met' if is_met else 'missed'} |")
    return 0 if arguments.no_goals or all(is_met for *_, is_met in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
