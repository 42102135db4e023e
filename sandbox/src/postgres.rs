//! The program `postgres` and its settings.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use crate::account::Account;
use crate::binaries::Binaries;

/// The server's data is thrown away, so it need not survive a crash of the machine; it has to
/// survive SIGKILL, which these settings do not weaken.
const SETTINGS: [(&str, &str); 13] = [
    ("listen_addresses", "127.0.0.1"),
    // Debian's default socket folder is closed to other users.
    ("unix_socket_directories", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("synchronous_commit", "on"),
    // It goes from database to database, and a test has one of its own.
    ("autovacuum", "off"),
    ("max_connections", "100"),
    ("shared_buffers", "32MB"),
    ("max_wal_size", "1GB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// How a client reaches a server with these settings.
pub(crate) fn url(port: u16, user: &str, database: &str) -> String {
    format!("postgresql://{user}@127.0.0.1:{port}/{database}")
}

/// What a server needs to run, again and again.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) binaries: Binaries,
    pub(crate) account: Option<Account>,
    /// Holds `data` and `server.log`.
    pub(crate) folder: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
}

impl Postgres {
    /// The server's parent is this process, without a shell or `pg_ctl` between, so that it can be
    /// killed and reaped. Its own process group keeps Ctrl-C from it.
    pub(crate) fn spawn(&self, port: u16, log: &File) -> Result<Child> {
        let mut command = self.binaries.command("postgres");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-p")
            .arg(port.to_string());
        let own = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(own) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .process_group(0);
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        command.spawn().with_context(|| {
            format!(
                "`postgres` in {} could not be started",
                self.binaries.folder().display()
            )
        })
    }
}
