//! Trying again what may pass by itself: a lock, a deadlock, a server that restarts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep, timeout_at};

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

/// How long a lock is waited for in all, each try included: then whoever waits is told who has it.
const LOCK_LIMIT: Duration = Duration::from_secs(13);

/// Kept free for a server to end what it still does.
const GIVE_UP_RESERVE: Duration = Duration::from_millis(500);

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
    let lock_until = Instant::now() + LOCK_LIMIT;
    loop {
        let error = match work(database).await {
            Err(error) if is_worth_another_try(&error) && database.is_usable() => error,
            done => return done,
        };
        let until = error.is_lock().then_some(lock_until);
        match pauses.next() {
            Some(pause) if is_time_left(pause, until) => wait(&error, pause).await,
            _ => return Err(error),
        }
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
    let lock_until = Instant::now() + LOCK_LIMIT;
    loop {
        let error = match session.run(&work).await {
            Err(error) if is_worth_another_try(&error) && session.was_connected() => error,
            done => return done,
        };
        let lock_until = error.is_lock().then_some(lock_until);
        match pauses.next() {
            Some(pause) if is_time_left(pause, until) && is_time_left(pause, lock_until) => {
                wait(&error, pause).await;
            }
            _ => return Err(error),
        }
    }
}

/// The same for a scheduled check, which has until `until` to find out what is the case: it waits for a server that was
/// never reached, too. In the end it says what was in its way, not that the time was up.
///
/// # Errors
/// The last error of `work`; [`Error::Timeout`] where there was none.
pub(crate) async fn run_until<T>(
    session: &mut Session,
    until: Instant,
    work: impl AsyncFn(&mut Database) -> Result<T>,
) -> Result<T> {
    let left = until.saturating_duration_since(Instant::now());
    let until = until - GIVE_UP_RESERVE.min(left / 4);
    let mut pauses = pauses();
    let mut in_the_way = Error::Timeout;
    loop {
        // boxed: a check nests deeper than a compiler's default
        match timeout_at(until, Box::pin(session.run(&work))).await {
            Ok(Err(error)) if is_worth_another_try(&error) => in_the_way = error,
            Ok(done) => return done,
            Err(_) => {
                session.give_up().await;
                return Err(in_the_way);
            }
        }
        match pauses.next() {
            Some(pause) if Instant::now() + pause < until => wait(&in_the_way, pause).await,
            _ => return Err(in_the_way),
        }
    }
}

fn is_time_left(pause: Duration, until: Option<Instant>) -> bool {
    until.is_none_or(|until| Instant::now() + pause < until)
}

async fn wait(error: &Error, pause: Duration) {
    tracing::warn!(
        error.id = error.id(),
        pause_ms = pause.as_millis(),
        "{error}; trying again"
    );
    sleep(pause).await;
}
