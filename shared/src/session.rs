//! A connection that is opened when it is needed, kept as long as it lives, and opened once more when it was lost.

use std::fmt;

use crate::connection_string::ConnectionSettings;
use crate::database::Database;
use crate::error::Result;
use crate::schema_version;
use crate::stance::{self, Stance};

/// The kept connection of one process. When it opens, it finds out what of Rollcall is in the database.
pub struct Session {
    settings: ConnectionSettings,
    database: Option<Database>,
    was_connected: bool,
    on_stance: Option<Box<dyn Fn(Stance) + Send + Sync>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("settings", &self.settings)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session that has not connected yet, for a database with this program's own migrations: others are refused.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self {
            settings,
            database: None,
            was_connected: false,
            on_stance: None,
        }
    }

    /// A session that has not connected yet, for any Supabase project: where Rollcall is not installed, it looks. Calls
    /// `on_stance` each time that a connection was opened.
    pub fn of_any_stance(
        settings: ConnectionSettings,
        on_stance: impl Fn(Stance) + Send + Sync + 'static,
    ) -> Self {
        Self {
            on_stance: Some(Box::new(on_stance)),
            ..Self::new(settings)
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
    /// What connecting, finding out about Rollcall and `work` return.
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
        self.database.take_if(|database| !database.is_usable());
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let mut opened = Database::connect(&self.settings).await?;
                self.was_connected = true;
                match &self.on_stance {
                    Some(on_stance) => on_stance(stance::take(&mut opened).await?),
                    None => schema_version::require(&mut opened).await?,
                }
                none.insert(opened)
            }
        };
        work(database).await
    }
}
