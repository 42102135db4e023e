//! Trying again what may pass by itself: a lock, a deadlock, a server that restarts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::session::Session;

/// Some half a minute in all: longer than a statement that locks a table should take.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(10)
        .with_jitter()
        .build()
}

/// Whether another try may succeed. What took too long would take as long again.
fn is_worth_another_try(error: &Error) -> bool {
    error.is_retryable() && !matches!(error, Error::Timeout)
}

/// Runs `work`, which must be safe to run twice, again after a pause while its error may pass by itself. A lost
/// connection is not opened again.
///
/// # Errors
/// The last error of `work`.
pub(crate) async fn run<T>(
    database: &mut Database,
    work: impl AsyncFn(&mut Database) -> Result<T>,
) -> Result<T> {
    let mut pauses = pauses();
    loop {
        let error = match work(database).await {
            Err(error) if is_worth_another_try(&error) && database.is_usable() => error,
            done => return done,
        };
        let Some(pause) = pauses.next() else {
            return Err(error);
        };
        wait(&error, pause).await;
    }
}

/// The same on a session, which opens a lost connection again, and no longer than `until`. A server that was never
/// reached is not waited for: that is a wrong address more often than a restart.
///
/// # Errors
/// The last error of `work`.
pub(crate) async fn run_on<T>(
    session: &mut Session,
    until: Option<Instant>,
    work: impl AsyncFn(&mut Database) -> Result<T>,
) -> Result<T> {
    let mut pauses = pauses();
    loop {
        let error = match session.run(&work).await {
            Err(error) if is_worth_another_try(&error) && session.was_connected() => error,
            done => return done,
        };
        match pauses.next() {
            Some(pause) if until.is_none_or(|until| Instant::now() + pause < until) => {
                wait(&error, pause).await
            }
            _ => return Err(error),
        }
    }
}

async fn wait(error: &Error, pause: Duration) {
    tracing::warn!(
        error.id = error.id(),
        pause_ms = pause.as_millis(),
        "trying again"
    );
    sleep(pause).await;
}
