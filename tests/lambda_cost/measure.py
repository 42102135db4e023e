#!/usr/bin/env python3
"""What the functions cost, beside the same health check for Node.js, under a Runtime API on this machine.

    python3 tests/lambda_cost/measure.py

builds the functions, a project for them on a server of its own (over TLS, as on Supabase) and the bundle for Node.js, which
is installed from npm, under target/. It needs Node.js 20 or newer, and PostgreSQL with its library libpq. First the server's
log is asked whether both health checks send the same statements. Then all processes take turns, round after round, and a
plain client runs these statements between the invocations: the database time.

CPU time is that of the process and all its threads, by the scheduler's own account. Medians over the rounds. Exit status 1:
a ratio to Node.js, or the memory, misses its goal. Milliseconds are shown beside their goals and not judged.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from database import SELECT_1, Connection, logged_statements
from node_bundle import bundle
from report import FIGURES, goals, table
from runtime_api import RuntimeApi

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
FUNCTIONS = ("health-check", "recent-issues", "backfill", "dashboard")
NODE = "Node.js health check"
HEALTH_CHECKS = ("health-check", NODE)
WITH_SECRET = "with a secret"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:database-abcdef"


class Process:
    """A function that has asked for work."""

    def __init__(self, command, database):
        self.api = RuntimeApi()
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL_SNS": f"http://{self.api.address}",
            "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
            **database,
        }
        started = time.perf_counter()
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start_ms = (self.api.wait_for_poll() - started) * 1000

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self.api.close()

    def invoke(self):
        """Latency and CPU in milliseconds, and the answer."""
        before = self.cpu_ms()
        latency, answer = self.api.invoke(b"{}")
        return latency, self.cpu_ms() - before, json.loads(answer)

    def cpu_ms(self):
        tasks = pathlib.Path(f"/proc/{self._process.pid}/task")
        total = 0
        for task in tasks.iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                # a thread that has just ended
                pass
        return total / 1e6

    def memory_mb(self, field):
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) / 1024


def statements_of(command, project):
    """What the first and the second invocation of this health check ask; both must find everything consistent and publish
    nothing."""
    log = pathlib.Path(project["log"])
    asked = []
    with Process(command, {"DATABASE_URL": project["logged_url"]}) as process:
        for _ in range(2):
            offset = log.stat().st_size
            answer = process.invoke()[2]
            if answer.get("verdict") != "consistent" or process.api.published:
                raise SystemExit(f"{command[0]} does not find a consistent project, or published: {answer}")
            asked.append(logged_statements(log.read_bytes()[offset:].decode(), "logged"))
    return asked


def like_for_like(commands, project):
    """The statements of a warm health check; ends the program where those of the two differ."""
    ours, theirs = (statements_of(commands[name], project) for name in HEALTH_CHECKS)
    for mine, other in zip(ours, theirs):
        if [statement.normal() for statement in mine] != [statement.normal() for statement in other]:
            shown = "\n".join("  " + statement.normal() for statement in mine)
            raise SystemExit(f"handler.mjs does not send what the function health-check sends:\n{shown}")
    return ours[1]


def timed(work):
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def start_of(process):
    return {"start_ms": process.start_ms, "init_cpu_ms": process.cpu_ms()}


def one_start_with_secret(command):
    """Of a function that will read a secret, for which it reads the system's certificates; nobody hands it out here."""
    with Process(command, {"DATABASE_SECRET_ARN": SECRET}) as process:
        return start_of(process)


def one_round(name, command, project, client, statements, invocations):
    with Process(command, {"DATABASE_URL": project["url"]}) as process:
        figures = start_of(process)
        figures["first_ms"], figures["first_cpu_ms"], _ = process.invoke()
        warm, database, select_1 = [], [], []
        for _ in range(invocations):
            warm.append(process.invoke()[:2])
            if name in HEALTH_CHECKS:
                database.append(timed(lambda: [client.run(statement) for statement in statements]))
                select_1.append(timed(lambda: client.run(SELECT_1)))
        figures["warm_ms"] = statistics.median(latency for latency, _ in warm)
        figures["warm_cpu_ms"] = statistics.median(cpu for _, cpu in warm)
        if database:
            figures["database_ms"] = statistics.median(database)
            figures["over_database_ms"] = statistics.median(w[0] - d for w, d in zip(warm, database))
            figures["select_1_ms"] = statistics.median(select_1)
        figures["peak_mb"], figures["resident_mb"] = process.memory_mb("VmHWM"), process.memory_mb("VmRSS")
        return figures


def measure(commands, project, rounds, invocations):
    statements = like_for_like(commands, project)
    client = Connection(project["url"])
    taken = {name: [] for name in [*commands, WITH_SECRET]}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, command in commands.items():
            taken[name].append(one_round(name, command, project, client, statements, invocations))
        taken[WITH_SECRET].append(one_start_with_secret(commands["health-check"]))
    result = {}
    for name, figures in taken.items():
        result[name] = {key: statistics.median(f[key] for f in figures) for key in FIGURES if key in figures[0]}
    for name, command in commands.items():
        result[name]["size_mb"] = pathlib.Path(command[-1]).stat().st_size / 1e6
    return result, len(statements)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--invocations", type=int, default=20, help="warm ones, in each round")
    parser.add_argument("--binaries", type=pathlib.Path, help="measure the functions in this folder; build none")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-goals", action="store_true", help="exit 0 whatever the figures are")
    arguments = parser.parse_args()

    def cargo(*words):
        subprocess.run(["cargo", "build", "--quiet", *words], cwd=ROOT, check=True)

    cargo("-p", "rollcall-tests", "--bin", "lambda-project")
    if not arguments.binaries:
        cargo("--release", *(word for name in FUNCTIONS for word in ("-p", name)))
    binaries = (arguments.binaries or TARGET / "release").absolute()
    commands = {name: [str(binaries / name)] for name in FUNCTIONS}
    commands[NODE] = ["node", str(bundle(TARGET / "lambda-cost"))]

    server = subprocess.Popen([TARGET / "debug/lambda-project"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("there is no project to measure on; the reason is above")
        project = json.loads(line)
        figures, statements = measure(commands, project, arguments.rounds, arguments.invocations)
    finally:
        server.stdin.close()
        server.wait()
    judged = goals(figures["health-check"], figures[NODE])
    if arguments.json:
        machine = {"postgresql": project["version"], "statements": statements, "rounds": arguments.rounds}
        print(json.dumps({**machine, "figures": figures, "goals": judged}, indent=2))
    else:
        print(table(figures, judged))
    missed = any(goal["judged"] and not goal["met"] for goal in judged)
    return 1 if missed and not arguments.no_goals else 0


if __name__ == "__main__":
    sys.exit(main())
