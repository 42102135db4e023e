//! `rollcall watch`, until it is dropped.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

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
        let started = Instant::now();
        while self.stderr()?.matches(words).count() < times {
            if self.process.exit_status()?.is_some() || started.elapsed() > LIMIT {
                bail!("it does not say {words:?}; {}", self.process.tail());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Presses Ctrl-C and returns the exit status.
    pub async fn interrupt(&self) -> Result<Option<i32>> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-INT", &id]).status()?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.exit_status()? {
                return Ok(status.code());
            }
            if started.elapsed() > LIMIT {
                bail!("Ctrl-C does not end it; {}", self.process.tail());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}
