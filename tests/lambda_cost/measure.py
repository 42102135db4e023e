#!/usr/bin/env python3
"""What a function costs, beside the same handler for Node.js, under a Runtime API on this machine.

    cargo build --release --workspace --bins
    cargo run --release -p rollcall-bench -- --users 1000 --audit 10000 --no-goals --keep
    python3 tests/lambda_cost/measure.py --database-url URL --node FOLDER

URL is a project with Rollcall's migrations, such as the one that --keep leaves running. FOLDER is where handler.mjs was
bundled, in which `npm install pg @aws-sdk/client-sns esbuild` and then
`npx esbuild handler.mjs --bundle --minify --platform=node --format=esm --outfile=bundle.mjs
--banner:js='import{createRequire}from"module";const require=createRequire(import.meta.url);'` ran; without it only Rollcall's
functions are measured.

All processes take turns, round after round. CPU time is that of the process, by the scheduler's own account; medians.
No figure is judged here, and this is no part of tests/run.
"""

import argparse
import json
import os
import pathlib
import queue
import statistics
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FUNCTIONS = ("health-check", "recent-issues", "backfill")
PUBLISHED = (
    b"<PublishResponse xmlns='http://sns.amazonaws.com/doc/2010-03-31/'><PublishResult><MessageId>1</MessageId>"
    b"</PublishResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>"
)


class Lambda:
    """One Runtime API with one topic, for one process."""

    def __init__(self):
        self.polled, self.answered, self.events = queue.Queue(), queue.Queue(), queue.Queue()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.polled.put(time.perf_counter())
                event = owner.events.get()
                if event is None:
                    return
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 60) * 1000)))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f")
                self.reply(event)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "/runtime/" in self.path:
                    owner.answered.put((time.perf_counter(), self.path.rsplit("/", 1)[1], body))
                    self.send_response(202)
                    self.reply(b"{}")
                else:
                    self.send_response(200)
                    self.reply(PUBLISHED)

            def reply(self, body):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"


def cpu_ms(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e6


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM")


def run_once(command, url, invocations):
    api = Lambda()
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_SNS": f"http://{api.address}",
        "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
        "DATABASE_URL": url,
    }
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        figures = {"start_ms": (api.polled.get(timeout=60) - started) * 1000, "init_cpu_ms": cpu_ms(process.pid)}

        def invoke():
            before, sent = cpu_ms(process.pid), time.perf_counter()
            api.events.put(b"{}")
            answered, kind, body = api.answered.get(timeout=60)
            api.polled.get(timeout=60)
            if kind != "response":
                raise RuntimeError(body.decode())
            return (answered - sent) * 1000, cpu_ms(process.pid) - before

        latency, cpu = invoke()
        figures |= {"first_ms": latency, "first_cpu_ms": cpu}
        warm = [invoke() for _ in range(invocations)]
        figures |= {
            "warm_ms": statistics.median(latency for latency, _ in warm),
            "warm_cpu_ms": statistics.median(cpu for _, cpu in warm),
            "resident_mb": resident_mb(process.pid),
        }
        return figures
    finally:
        process.kill()
        process.wait()
        api.events.put(None)
        api.server.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--node", type=pathlib.Path, help="folder with bundle.mjs")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--invocations", type=int, default=20)
    arguments = parser.parse_args()
    commands = {name: [str(arguments.binaries / name)] for name in FUNCTIONS}
    if arguments.node:
        commands["node (health check)"] = ["node", str(arguments.node / "bundle.mjs")]
    taken = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            taken[name].append(run_once(command, arguments.database_url, arguments.invocations))
    result = {}
    for name, rounds in taken.items():
        result[name] = {figure: round(statistics.median(r[figure] for r in rounds), 2) for figure in rounds[0]}
        binary = pathlib.Path(commands[name][-1])
        result[name]["size_mb"] = round(binary.stat().st_size / 1e6, 2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
