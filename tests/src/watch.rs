//! `rollcall watch`, until it is dropped.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{owned_process::OwnedProcess, programs::program};

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(90);

/// The running program.
#[derive(Debug)]
pub struct Watch {
    process: OwnedProcess,
}

impl Watch {
    /// Starts it with these variables and no others; it checks every second.
    pub fn start(env: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(program("rollcall")?);
        command
            .args(["watch", "--every", "1s"])
            .env_clear()
            .envs(env.iter().copied());
        Ok(Self {
            process: OwnedProcess::spawn(&mut command)?,
        })
    }

    /// Everything that it has said.
    pub fn stderr(&self) -> Result<String> {
        self.process.stderr().context("stderr cannot be read")
    }

    /// Waits until it has said this, so often.
    pub async fn wait_for(&self, words: &str, times: usize) -> Result<()> {
        self.process
            .wait_for(LIMIT, |said| {
                (said.matches(words).count() >= times).then_some(())
            })
            .await
            .with_context(|| format!("{words:?}, {times} times"))
    }

    /// Presses Ctrl-C and returns the exit status.
    pub async fn interrupt(&self) -> Result<Option<i32>> {
        Ok(self.process.interrupt(LIMIT).await?.code())
    }
}
