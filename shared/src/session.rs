//! A connection that is opened when it is needed, kept as long as it lives, and opened once more when it was lost.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection_string::ConnectionSettings;
use crate::database::Database;
use crate::error::Result;
use crate::schema_version;

/// The kept connection of one process, checked for the right migrations when it opens.
#[derive(Debug)]
pub struct Session {
    settings: ConnectionSettings,
    database: Option<Database>,
    last_used: Instant,
    was_connected: bool,
}

/// How long a connection may be idle before it has to show that it lives: less than poolers and network address
/// translation allow.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

impl Session {
    /// A session that has not connected yet.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self {
            settings,
            database: None,
            last_used: Instant::now(),
            was_connected: false,
        }
    }

    /// Ends the session. What still runs on its connection, because its future was dropped, is cancelled.
    pub async fn abandon(self) {
        if let Some(database) = self.database.filter(|database| !database.is_usable()) {
            database.cancel().await;
        }
    }

    /// Whether the server was ever reached.
    pub fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// The settings it connects with.
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// Runs `work` on the kept connection. If that was lost, opens another and runs `work` once more: it must be
    /// safe to run twice.
    ///
    /// # Errors
    /// What connecting, comparing versions and `work` return.
    pub async fn run<T>(&mut self, work: impl AsyncFn(&mut Database) -> Result<T>) -> Result<T> {
        match self.attempt(&work).await {
            Err(error) if error.is_connection_lost() => {
                tracing::warn!(error.id = error.id(), "connection lost, opening another");
                self.database = None;
                self.attempt(&work).await
            }
            outcome => outcome,
        }
    }

    async fn attempt<T>(&mut self, work: &impl AsyncFn(&mut Database) -> Result<T>) -> Result<T> {
        let idle = self.last_used.elapsed();
        if let Some(database) = &self.database {
            let is_good = if idle < TRUSTED_IDLE {
                database.is_usable()
            } else {
                database.is_alive().await
            };
            if !is_good {
                self.database = None;
            }
        }
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let mut opened = Database::connect(&self.settings).await?;
                self.was_connected = true;
                schema_version::require(&mut opened).await?;
                none.insert(opened)
            }
        };
        let outcome = work(database).await;
        self.last_used = Instant::now();
        outcome
    }
}
