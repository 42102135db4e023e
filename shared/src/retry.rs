//! Trying again what may pass by itself: a lock, a deadlock, a server that restarts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep};

use crate::database::Database;
use crate::error::{Error, Result};

/// How long a lock is waited for in all, each try included. The error after that names the session that has it.
pub(crate) const LOCK_LIMIT: Duration = Duration::from_secs(13);

/// Runs `work`, which must be safe to run twice, again after a pause while its error may pass by itself. A lost
/// connection is not opened again.
///
/// # Errors
/// The last error of `work`.
pub(crate) async fn run<T>(
    database: &mut Database,
    work: impl AsyncFn(&mut Database) -> Result<T>,
) -> Result<T> {
    let mut tries = Tries::new(None, Instant::now() + LOCK_LIMIT);
    loop {
        match work(database).await {
            Err(error) if database.is_usable() => tries.pause(error).await?,
            done => return done,
        }
    }
}

/// How often and how long something is tried.
pub(crate) struct Tries {
    pauses: ExponentialBackoff,
    until: Option<Instant>,
    lock_until: Instant,
    pub(crate) last_error: Error,
}

impl Tries {
    /// Some half a minute in all, which is longer than a statement that locks a table should take, and neither beyond `until`
    /// nor, for a lock, beyond `lock_until`.
    pub(crate) fn new(until: Option<Instant>, lock_until: Instant) -> Self {
        Self {
            pauses: ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(200))
                .with_max_delay(Duration::from_secs(5))
                .with_max_times(10)
                .with_jitter()
                .build(),
            until,
            lock_until,
            last_error: Error::Timeout,
        }
    }

    /// Waits for the next try after this error.
    ///
    /// # Errors
    /// The error itself, where there is no other try: it will not pass, or the time is up.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<()> {
        // what took too long would take as long again
        let may_pass = error.is_retryable() && !matches!(error, Error::Timeout);
        let Some(pause) = self.pauses.next().filter(|_| may_pass) else {
            return Err(error);
        };
        let next = Instant::now() + pause;
        let is_late = |until| next >= until;
        if self.until.is_some_and(is_late) || (error.is_lock() && is_late(self.lock_until)) {
            return Err(error);
        }
        tracing::warn!(
            error.id = error.id(),
            pause_ms = pause.as_millis(),
            "{error}; trying again"
        );
        self.last_error = error;
        sleep(pause).await;
        Ok(())
    }
}
