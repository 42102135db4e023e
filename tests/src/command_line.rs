//! The program `rollcall`, run to its end.

use std::{fmt, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{owned_process::OwnedProcess, programs::program};

/// More than any command needs against a test's database, the demo included.
const LIMIT: Duration = Duration::from_secs(120);

/// What a run left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finished {
    /// What was typed after `rollcall`.
    pub arguments: String,
    /// Exit status; none where a signal ended it.
    pub status: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Finished {
    /// Standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {self}"))
    }
}

/// As a transcript of a terminal session shows it.
impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ rollcall {}", self.arguments)?;
        write!(f, "{}", self.stdout)?;
        for line in self.stderr.lines() {
            writeln!(f, "stderr: {line}")?;
        }
        match self.status {
            Some(status) => writeln!(f, "exit status {status}"),
            None => writeln!(f, "ended by a signal"),
        }
    }
}

/// Runs `rollcall` with these arguments and no variables but `env`, without a terminal.
pub async fn rollcall(env: &[(&str, &str)], arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new(program("rollcall")?);
    command
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied());
    run(command, &arguments.join(" ")).await
}

/// Runs a command that somebody prepared, to its end; `arguments` is what the transcript shows.
pub async fn run(mut command: Command, arguments: &str) -> Result<Finished> {
    let process = OwnedProcess::spawn(&mut command)
        .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    let status = process
        .wait_for_end(LIMIT)
        .await
        .with_context(|| format!("rollcall {arguments}"))?;
    Ok(Finished {
        arguments: arguments.to_owned(),
        status: status.code(),
        stdout: process.stdout()?,
        stderr: process.stderr()?,
    })
}
