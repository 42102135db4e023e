//! `rollcall dashboard` on a free port, until it is dropped.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};

use crate::{http, owned_process::OwnedProcess, programs::program};

/// How long it may take to say where it listens.
const LIMIT: Duration = Duration::from_secs(30);

/// The running program.
#[derive(Debug)]
pub struct Dashboard {
    process: OwnedProcess,
    port: u16,
}

impl Dashboard {
    /// Starts it against a database; the page asks again after `refresh` seconds.
    pub async fn start(database_url: &str, refresh: u16) -> Result<Self> {
        let mut command = Command::new(program("rollcall")?);
        command
            .args([
                "dashboard",
                "--port",
                "0",
                "--refresh",
                &refresh.to_string(),
            ])
            .env_clear()
            .env("DATABASE_URL", database_url);
        let process = OwnedProcess::spawn(&mut command)?;
        let port = process
            .wait_for(LIMIT, |said| {
                let (_, address) = said.split_once("http://127.0.0.1:")?;
                let (port, _) = address.split_once('/')?;
                Some(port.parse())
            })
            .await??;
        Ok(Self { process, port })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The answer to a request for `path` with these headers.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<(StatusCode, String)> {
        let mut request = Request::get(format!("http://127.0.0.1:{}{path}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        http::send(request.body(Body::empty())?).await
    }

    /// Everything that it has said.
    pub fn stderr(&self) -> Result<String> {
        self.process.stderr().context("stderr cannot be read")
    }

    /// Presses Ctrl-C and returns the exit status.
    pub async fn interrupt(self) -> Result<Option<i32>> {
        Ok(self.process.interrupt(LIMIT).await?.code())
    }
}
