//! The program `rollcall`, run to its end, or interrupted.

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
    start(env, arguments)?.finish().await
}

/// The same, and does not wait for its end.
pub fn start(env: &[(&str, &str)], arguments: &[&str]) -> Result<Running> {
    let mut command = Command::new(program("rollcall")?);
    command
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied());
    Running::start(command, &arguments.join(" "))
}

/// Runs a command that somebody prepared, to its end; `arguments` is what the transcript shows.
pub async fn run(command: Command, arguments: &str) -> Result<Finished> {
    Running::start(command, arguments)?.finish().await
}

/// `rollcall` at work, until it is dropped.
#[derive(Debug)]
pub struct Running {
    process: OwnedProcess,
    arguments: String,
}

impl Running {
    /// Starts a command that somebody prepared; `arguments` is what the transcript shows.
    fn start(mut command: Command, arguments: &str) -> Result<Self> {
        let process = OwnedProcess::spawn(&mut command)
            .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        Ok(Self {
            process,
            arguments: arguments.to_owned(),
        })
    }

    /// Waits until it has said this on stderr.
    pub async fn wait_for(&self, words: &str) -> Result<()> {
        self.process
            .wait_for(LIMIT, |said| said.contains(words).then_some(()))
            .await
            .with_context(|| format!("{words:?}"))
    }

    /// Presses Ctrl-C.
    pub fn press_ctrl_c(&self) -> Result<()> {
        self.process.press_ctrl_c()
    }

    /// Waits until it has ended.
    pub async fn finish(self) -> Result<Finished> {
        let status = self
            .process
            .wait_for_end(LIMIT)
            .await
            .with_context(|| format!("rollcall {}", self.arguments))?;
        Ok(Finished {
            status: status.code(),
            stdout: self.process.stdout()?,
            stderr: self.process.stderr()?,
            arguments: self.arguments,
        })
    }
}
