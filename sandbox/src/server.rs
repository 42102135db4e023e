//! A throw-away server on loopback.

use std::path::Path;
use std::process::Child;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::account::Account;
use crate::binaries::Binaries;
use crate::data;
use crate::folder;
use crate::kept::Kept;
use crate::postgres::{Postgres, url};
use crate::source::Source;
use crate::startup;
use crate::watchdog::Watchdog;

/// How to start a [`Server`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which PostgreSQL to run.
    pub source: Source,
    /// Server settings on top of the sandbox's own, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// The PostgreSQL that the environment asks for, see [`Source::from_env`].
    ///
    /// # Errors
    /// As [`Source::from_env`].
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            source: Source::from_env()?,
            settings: Vec::new(),
        })
    }
}

/// A running PostgreSQL on 127.0.0.1 with trust authentication: every local user may connect as
/// every role. Its superuser is `supabase_admin`.
///
/// Dropping it stops the server and removes its files. The same happens when this process ends
/// without dropping it, killed or not.
#[derive(Debug)]
pub struct Server {
    postgres: Postgres,
    port: u16,
    running: Mutex<Running>,
    pub(crate) template: OnceCell<()>,
    pub(crate) fresh_databases: AtomicU32,
}

#[derive(Debug)]
struct Running {
    child: Child,
    watchdog: Watchdog,
}

impl Server {
    /// Starts a server and waits until it accepts connections: about 0.3 s, the first time on a
    /// machine some seconds. Blocks the thread meanwhile.
    ///
    /// # Errors
    /// If no PostgreSQL can be had or it does not start; nothing is left behind then.
    pub fn start(options: &Options) -> Result<Self> {
        let binaries = Binaries::find(&options.source)?;
        let account = Account::for_servers()?;
        let folder = folder::create(account)?;
        let mut watchdog = Watchdog::start(folder.path())?;
        let folder = folder.keep();

        let postgres = Postgres {
            binaries,
            account,
            folder,
            settings: options.settings.clone(),
        };
        let data = postgres.folder.join("data");
        let started = data::create(&postgres.binaries, account, &data)
            .and_then(|()| startup::on_a_free_port(&postgres, &mut watchdog));
        let (child, port) = started.inspect_err(|_| watchdog.finish(|| ()))?;
        Ok(Self {
            postgres,
            port,
            running: Mutex::new(Running { child, watchdog }),
            template: OnceCell::new(),
            fresh_databases: AtomicU32::new(0),
        })
    }

    /// The port on 127.0.0.1. It stays the same over a [`Server::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the newest `postgres`.
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// The server's folder, with `data` and `server.log` in it.
    pub fn folder(&self) -> &Path {
        &self.postgres.folder
    }

    /// PostgreSQL's words for its version, such as `PostgreSQL 17.6`.
    pub fn version(&self) -> &str {
        self.postgres.binaries.version()
    }

    /// A connection string without a password.
    pub fn url(&self, user: &str, database: &str) -> String {
        url(self.port, user, database)
    }

    /// Kills the server with SIGKILL, as the machine's out-of-memory killer would.
    ///
    /// # Errors
    /// If the process cannot be signalled.
    pub fn kill(&self) -> Result<()> {
        self.running().kill()
    }

    /// Kills the server if it runs, and starts it again on the same port with the same data.
    ///
    /// # Errors
    /// If it does not come up again.
    pub fn restart(&self) -> Result<()> {
        let mut running = self.running();
        running.kill()?;
        running.child = startup::on_port(&self.postgres, &mut running.watchdog, self.port)?;
        Ok(())
    }

    /// Leaves the server running after this process has ended. Nobody but the caller's user stops
    /// it then: see [`Kept::stop_command`].
    ///
    /// # Errors
    /// If the server's clean-up cannot be called off; the server is stopped then.
    pub fn keep(self) -> Result<Kept> {
        let mut running = self.running();
        running.watchdog.release()?;
        Ok(Kept {
            pid: running.child.id(),
            port: self.port,
            folder: self.postgres.folder.clone(),
        })
    }

    /// Nothing is left half done by a panic while the lock is held.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Running { child, watchdog } = self
            .running
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        watchdog.finish(|| {
            // Fails only if `kill` has reaped it before.
            let _ = child.wait();
        });
    }
}

impl Running {
    fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .context("the database server could not be killed")?;
        self.child
            .wait()
            .context("the killed database server could not be reaped")?;
        self.watchdog.watch(None)
    }
}
