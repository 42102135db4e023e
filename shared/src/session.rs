//! A connection that is opened when it is needed, kept as long as it lives, and opened once more when it was lost.

use crate::connection_string::ConnectionSettings;
use crate::database::Database;
use crate::error::Result;
use crate::schema_version;

/// The kept connection of one process, checked for the right migrations when it opens.
#[derive(Debug)]
pub struct Session {
    settings: ConnectionSettings,
    database: Option<Database>,
}

impl Session {
    /// A session that has not connected yet.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self {
            settings,
            database: None,
        }
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
        if self
            .database
            .as_ref()
            .is_some_and(|database| !database.is_usable())
        {
            self.database = None;
        }
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let mut opened = Database::connect(&self.settings).await?;
                schema_version::require(&mut opened).await?;
                none.insert(opened)
            }
        };
        work(database).await
    }
}
