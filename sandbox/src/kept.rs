//! A server that nobody watches over any more.

use std::path::PathBuf;

use crate::postgres::url;

/// A server that outlives the process that started it, see [`crate::Server::keep`].
#[derive(Clone, Debug)]
pub struct Kept {
    /// The server's process id.
    pub pid: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its folder: `data` is the data directory, `server.log` the log.
    pub folder: PathBuf,
}

impl Kept {
    /// A connection string without a password.
    pub fn url(&self, user: &str, database: &str) -> String {
        url(self.port, user, database)
    }

    /// The shell command that stops the server, waits for its end and removes its files.
    pub fn stop_command(&self) -> String {
        let pid = self.pid;
        let folder = format!(
            "'{}'",
            self.folder.display().to_string().replace('\'', r"'\''")
        );
        format!(
            "kill -INT {pid} && while [ -e {folder}/data/postmaster.pid ]; do sleep 0.1; done; \
             rm -rf {folder}"
        )
    }
}
