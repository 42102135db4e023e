//! Starting `postgres` and waiting until it accepts connections.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::Postgres;
use crate::watchdog::Watchdog;

/// A start after a crash replays the log first.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What the log says when a later attempt may succeed: another process took the port between our
/// look and the server's start, or the children of a killed server still hold on to its data.
const PASSING: [&str; 3] = [
    "could not bind",
    "shared memory block",
    "lock file \"postmaster.pid\"",
];

/// Starts the server on a free port, which is returned as well.
///
/// # Errors
/// If it does not accept connections in time; it does not run then.
pub(crate) fn on_a_free_port(postgres: &Postgres, watchdog: &mut Watchdog) -> Result<(Child, u16)> {
    retry(postgres, watchdog, || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let address = listener.and_then(|listener| listener.local_addr());
        Ok(address
            .context("there is no free port on 127.0.0.1")?
            .port())
    })
}

/// Starts the server on `port`.
///
/// # Errors
/// As [`on_a_free_port`].
pub(crate) fn on_port(postgres: &Postgres, watchdog: &mut Watchdog, port: u16) -> Result<Child> {
    Ok(retry(postgres, watchdog, || Ok(port))?.0)
}

fn retry(
    postgres: &Postgres,
    watchdog: &mut Watchdog,
    port: impl Fn() -> Result<u16>,
) -> Result<(Child, u16)> {
    let deadline = Instant::now() + TIMEOUT;
    let mut log = File::options()
        .create(true)
        .append(true)
        .read(true)
        .open(postgres.folder.join("server.log"))
        .context("the database server's log could not be written")?;
    loop {
        let port = port()?;
        let start_of_log = log.seek(SeekFrom::End(0))?;
        let mut child = postgres.spawn(port, &log)?;
        let ready = watchdog
            .watch(Some(child.id()))
            .and_then(|()| wait_until_ready(&mut child, &postgres.folder, deadline));
        if matches!(ready, Ok(true)) {
            return Ok((child, port));
        }

        // Its process id is not ours to signal once it is reaped. Killing fails if it has ended.
        let _ = child.kill();
        child
            .wait()
            .context("the database server could not be reaped")?;
        watchdog.watch(None)?;
        ready?;
        let mut text = String::new();
        log.seek(SeekFrom::Start(start_of_log))?;
        log.read_to_string(&mut text)?;
        if !PASSING.iter().any(|reason| text.contains(reason)) || Instant::now() > deadline {
            bail!(
                "the database server does not start. Its log: {}",
                text.trim()
            );
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// `false` if the server has ended instead.
fn wait_until_ready(child: &mut Child, folder: &Path, deadline: Instant) -> Result<bool> {
    while !is_ready(folder, child.id()) {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bail!("the database server is not ready after {TIMEOUT:?}. Is the machine overloaded?");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

/// Line 1 of `postmaster.pid` is the server's process id, line 8 its state. A killed server leaves
/// the file behind.
fn is_ready(folder: &Path, pid: u32) -> bool {
    let state = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = state.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}
