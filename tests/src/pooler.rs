//! PgBouncer in transaction mode, the strictest of the poolers that Rollcall meets.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rollcall_sandbox::{Account, Database, Server};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{missing, owned_process::OwnedProcess};

/// How long it may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Server connections of one database: fewer than any test has clients, so that they take turns.
pub const POOL_SIZE: u32 = 2;

/// A pooler in front of a [`Server`], stopped when dropped.
#[derive(Debug)]
pub struct Pooler {
    _process: OwnedProcess,
    _folder: TempDir,
    address: SocketAddr,
}

impl Pooler {
    /// Starts one on a free port; none, and a word about it, where it is not installed. In CI that
    /// is an error.
    pub async fn start(server: &Server) -> Result<Option<Self>> {
        Self::start_with(server, POOL_SIZE).await
    }

    /// The same with another number of server connections.
    pub async fn start_with(server: &Server, pool_size: u32) -> Result<Option<Self>> {
        let Some(program) = program() else {
            missing::skip("skipped: what needs a pooler (pgbouncer is not installed)")?;
            return Ok(None);
        };
        // Another process may take the port before PgBouncer does.
        for _ in 0..5 {
            if let Some(pooler) = Self::try_start(&program, server, pool_size).await? {
                return Ok(Some(pooler));
            }
        }
        bail!("pgbouncer finds no free port")
    }

    /// The connection string of `postgres` through the pooler, as Supabase's dashboard writes it.
    pub fn url(&self, database: &Database) -> String {
        self.url_as("postgres", database)
    }

    /// The same for another role.
    pub fn url_as(&self, role: &str, database: &Database) -> String {
        format!(
            "postgresql://{role}@{}/{}?pgbouncer=true",
            self.address,
            database.name()
        )
    }

    /// None if the port was taken.
    async fn try_start(program: &Path, server: &Server, pool_size: u32) -> Result<Option<Self>> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let users = folder.path().join("users.txt");
        fs::write(
            &users,
            "\"postgres\" \"\"\n\"supabase_admin\" \"\"\n\"rollcall_monitor\" \"\"\n\"rollcall_repairer\" \"\"\n",
        )?;
        let settings = folder.path().join("pgbouncer.ini");
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host=127.0.0.1 port={server_port}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = trust\nauth_file = {users}\n\
                 pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 200\n",
                server_port = server.port(),
                port = address.port(),
                users = users.display(),
            ),
        )?;
        for file in [&users, &settings] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
        }

        let mut command = Command::new(program);
        command.arg(&settings);
        // It refuses root, as PostgreSQL does.
        if let Some(account) = Account::for_servers()? {
            account.apply(&mut command);
        }
        let process = OwnedProcess::spawn(&mut command).context("pgbouncer cannot be started")?;
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if process.exit_status()?.is_some() {
                let log = process.stderr()? + &process.stdout()?;
                if log.contains("in use") {
                    return Ok(None);
                }
                bail!("pgbouncer ended: {log}");
            }
            ensure!(
                started.elapsed() < START_LIMIT,
                "pgbouncer does not listen; {}",
                process.tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(Self {
            _process: process,
            _folder: folder,
            address,
        }))
    }
}

/// Ordinary users of Debian do not have /usr/sbin on their PATH.
fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}
