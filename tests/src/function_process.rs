//! A Lambda function's own binary, run as Lambda runs it.

use std::{
    io,
    process::{Command, ExitStatus},
    sync::Arc,
};

use anyhow::{Context, Result};

use crate::{owned_process::OwnedProcess, programs::program, runtime_api::RuntimeApi};

/// A function instance, killed when dropped.
#[derive(Debug)]
pub struct FunctionProcess {
    process: Arc<OwnedProcess>,
}

impl FunctionProcess {
    /// Starts the program `binary` (`health-check` …) against `runtime_api`.
    ///
    /// It sees nothing of the test's environment: only `env` and what Lambda sets for every
    /// function, among it credentials (worthless here), which the AWS SDK wants. `env` wins where
    /// both name a variable.
    pub fn start(binary: &str, runtime_api: &RuntimeApi, env: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(program(binary)?);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", binary)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("TZ", ":UTC")
            .envs(env.iter().copied());
        let process = OwnedProcess::spawn(&mut command)
            .with_context(|| format!("cannot start the function {binary}"))?;
        let process = Arc::new(process);
        runtime_api.watch(&process);
        Ok(Self { process })
    }

    /// Everything written to standard output so far: log lines and metrics.
    pub fn stdout(&self) -> io::Result<String> {
        self.process.stdout()
    }

    /// Everything written to standard error so far.
    pub fn stderr(&self) -> io::Result<String> {
        self.process.stderr()
    }

    /// Both outputs one after the other, for a search in all that would reach CloudWatch Logs.
    pub fn output(&self) -> io::Result<String> {
        Ok(self.stdout()? + &self.stderr()?)
    }

    /// `None` while the instance runs.
    pub fn exit_status(&self) -> io::Result<Option<ExitStatus>> {
        self.process.exit_status()
    }
}
