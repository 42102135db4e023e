//! A connection that is opened when it is needed, kept as long as it lives, and opened once more when it was lost.

use std::fmt;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::connection_string::ConnectionSettings;
use crate::database::{Database, Queries};
use crate::error::{Error, Result};
use crate::retry::{LOCK_LIMIT, Tries};
use crate::schema_version;
use crate::stance::{self, Stance};

/// Kept free for a server to end what it still does.
const GIVE_UP_RESERVE: Duration = Duration::from_millis(500);

/// A way to the session of a process.
pub trait SessionAccess {
    /// Runs `work`, which must be safe to run twice, on the session, and ends by `until`.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is up, and what the session and `work` return.
    fn with_session<T>(
        &self,
        until: Instant,
        work: impl AsyncFn(&mut Session) -> Result<T>,
    ) -> impl Future<Output = Result<T>>;
}

impl SessionAccess for Mutex<Session> {
    async fn with_session<T>(
        &self,
        until: Instant,
        work: impl AsyncFn(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let mut session = self.lock().await;
        match timeout_at(until, work(&mut session)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                session.give_up().await;
                Err(Error::Timeout)
            }
        }
    }
}

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

    /// Gives the connection up. What still runs on it, because its future was dropped, is cancelled. The next use opens
    /// another.
    pub async fn give_up(&mut self) {
        if let Some(database) = self.database.take_if(|database| !database.is_usable()) {
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

    /// [`Self::run`], again after a pause while its error may pass by itself, and no longer than `until`. A server that was
    /// never reached is not waited for: that is a wrong address more often than a restart.
    ///
    /// # Errors
    /// The last error of `work`.
    pub(crate) async fn retry<T>(
        &mut self,
        until: Option<Instant>,
        work: impl AsyncFn(&mut Database) -> Result<T>,
    ) -> Result<T> {
        let mut tries = Tries::new(until, Instant::now() + LOCK_LIMIT);
        loop {
            match self.run(&work).await {
                Err(error) if self.was_connected => tries.pause(error).await?,
                done => return done,
            }
        }
    }

    /// The same for a scheduled check, which has until `until` to find out what is the case: it waits for a server that was
    /// never reached, too. In the end it says what was in its way, not that the time was up.
    ///
    /// # Errors
    /// The last error of `work`; [`Error::Timeout`] where there was none.
    pub(crate) async fn retry_until<T>(
        &mut self,
        until: Instant,
        work: impl AsyncFn(&mut Database) -> Result<T>,
    ) -> Result<T> {
        let left = until.saturating_duration_since(Instant::now());
        let until = until - GIVE_UP_RESERVE.min(left / 4);
        let mut tries = Tries::new(Some(until), until);
        loop {
            // boxed: a check nests deeper than a compiler's default
            match timeout_at(until, Box::pin(self.run(&work))).await {
                Ok(Err(error)) => tries.pause(error).await?,
                Ok(done) => return done,
                Err(_) => {
                    self.give_up().await;
                    return Err(tries.last_error);
                }
            }
        }
    }

    /// [`Self::run`] for queries over one unchanging view of the database, as [`Database::read`].
    ///
    /// # Errors
    /// As for both.
    pub(crate) async fn read<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFn(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        self.run(async |database| database.read(limit, &work).await)
            .await
    }

    /// [`Self::run`] for queries in one transaction that commits, as [`Database::write`].
    ///
    /// # Errors
    /// As for both.
    pub(crate) async fn write<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFn(&Queries<'_>) -> Result<T>,
    ) -> Result<T> {
        self.run(async |database| database.write(limit, &work).await)
            .await
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
