#!/usr/bin/env node
// Starts the program that npm has installed for this machine.
"use strict";
const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const name = `rollcall-cli-${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}/rollcall`);
} catch {
  console.error(
    `error: the package ${name} is not installed: there is no program for this machine, ` +
      "or npm was asked to leave out optional dependencies. Install again without --omit=optional, " +
      "or build it from the source.",
  );
  process.exit(2);
}

// A terminal sends Ctrl-C to both; the program decides what it means. All are caught before the program runs.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`error: ${program} could not be started: ${error.message}`);
  process.exitCode = 2;
});
child.on("exit", (status, signal) => {
  process.exitCode = status ?? 128 + constants.signals[signal];
});
