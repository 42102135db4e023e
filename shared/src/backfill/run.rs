//! The loop of a repair: page by page over the ids, until nobody is left, enough were attempted, or the time is up.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{self, Batch};
use super::count::{self, count_missing};
use super::outcome::MAX_FAILURES;
use super::{Ending, Failure, Outcome, Progress};
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::patience;
use crate::session::Session;

/// Limit of one batch; the largest one takes a few seconds.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// Kept free at the end of the time, for the last count; more if the first count took longer, but never more than half
/// of what is left then.
const RESERVE: Duration = Duration::from_secs(2);

/// Kept free for the answer, however long the last count takes.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

/// What the last count is given at least.
const SHORTEST_COUNT: Duration = Duration::from_secs(1);

/// By how much a batch shrinks that took too long.
const SHRINK: u32 = 8;

/// So many locked users at once are no rows any more, but a table.
const MANY: i64 = 3;

/// How often those who were locked are tried again, and the pause before.
const BUSY_ROUNDS: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Who is attempted in a pass, in this order: nobody waits behind someone who cannot be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    NeverFailed,
    FailedBefore,
}

/// Repairs everyone who signed up before now and has no profile; signups during the repair are left to their trigger
/// and to the next one.
///
/// A batch that the database could not take just now (a lock, a lost connection) is tried again a few times; one
/// that took too long is cut smaller. Every batch that was taken stays, whatever happens later: an error after the
/// first count ends the repair, and the outcome tells it together with what was done.
///
/// A batch whose commit was not acknowledged is tried again, too, and finds its profiles there: then fewer are counted
/// than were created, and never more.
///
/// # Errors
/// What the database refuses before anything was done.
pub async fn apply(
    session: &mut Session,
    batch_size: u32,
    max_users: Option<u64>,
    account_type: Option<&str>,
    until: Option<Instant>,
    mut report: impl FnMut(Progress),
) -> Result<Outcome> {
    let began = Instant::now();
    let signed_up_before = session.run(async |database| begin(database).await).await?;
    let total_missing = session
        .run(async |database| count_missing(database, signed_up_before).await)
        .await?;
    let counting = began.elapsed();
    let work_until = until.map(|until| {
        let left = until.saturating_duration_since(Instant::now());
        until - RESERVE.max(counting * 2).min(left / 2)
    });

    let mut repair = Repair {
        session,
        overrides: batch::overrides(account_type),
        signed_up_before,
        work_until,
        progress: Progress {
            total_missing,
            attempted: 0,
            created: 0,
            failed: 0,
        },
        failures: Vec::new(),
        busy: 0,
        batch_size,
        longest_batch: None,
    };
    let ending = repair.run(max_users, &mut report).await;
    let Repair {
        progress,
        failures,
        busy,
        ..
    } = repair;

    let (ending, interruption) = match ending {
        Ok(ending) => (ending, None),
        Err(error) if progress.attempted == 0 => return Err(error),
        Err(error) => (Ending::Interrupted, Some(error)),
    };
    // what was done is known, whether or not it can be counted what remains
    let remaining = match &interruption {
        None => count_in_time(session, until).await,
        Some(_) => None,
    };
    Ok(Outcome {
        ending,
        total_missing,
        attempted: progress.attempted,
        created: progress.created,
        failed: progress.failed,
        busy,
        remaining,
        failures,
        interruption,
    })
}

/// Forgets failures that are none any more, and returns the database's clock.
async fn begin(database: &mut Database) -> Result<Timestamp> {
    database
        .write(BATCH_LIMIT, async |queries| {
            queries
                .rows("select rollcall.forget_settled_failures()", &[])
                .await?;
            column(&queries.row("select now() as now", &[]).await?, "now")
        })
        .await
}

/// How many remain, if that can be counted by then. A caller without time left waits a moment all the same.
async fn count_in_time(session: &mut Session, until: Option<Instant>) -> Option<i64> {
    let Some(until) = until else {
        return count::count(session, None).await.ok();
    };
    let now = Instant::now();
    let until = (until - ANSWER_RESERVE.min(until - now)).max(now + SHORTEST_COUNT);
    let counting = count::count(session, Some(until));
    timeout_at(until, counting).await.ok()?.ok()
}

struct Repair<'a> {
    session: &'a mut Session,
    overrides: serde_json::Value,
    signed_up_before: Timestamp,
    work_until: Option<Instant>,
    progress: Progress,
    failures: Vec<Failure>,
    busy: i64,
    batch_size: u32,
    /// Of the batches of this size; none of them has been seen yet.
    longest_batch: Option<Duration>,
}

impl Repair<'_> {
    async fn run(
        &mut self,
        max_users: Option<u64>,
        report: &mut impl FnMut(Progress),
    ) -> Result<Ending> {
        for pass in [Pass::NeverFailed, Pass::FailedBefore] {
            let busy_before = self.busy;
            for round in 0..=BUSY_ROUNDS {
                if round > 0 {
                    sleep(BUSY_PAUSE).await;
                }
                let (ending, busy) = self.pass(pass, max_users, report).await?;
                self.busy = busy_before + busy;
                if let Some(ending) = ending {
                    return Ok(ending);
                }
                if busy == 0 {
                    break;
                }
            }
        }
        Ok(if self.busy == 0 {
            Ending::Complete
        } else {
            Ending::Busy
        })
    }

    /// One pass over the ids: why the repair is over, if it is, and how many users were locked.
    async fn pass(
        &mut self,
        pass: Pass,
        max_users: Option<u64>,
        report: &mut impl FnMut(Progress),
    ) -> Result<(Option<Ending>, i64)> {
        let mut cursor = None;
        let mut busy = 0;
        loop {
            report(self.progress);
            let allowed = max_users.map_or(u64::MAX, |max| {
                max.saturating_sub(self.progress.attempted.unsigned_abs())
            });
            if allowed == 0 {
                return Ok((Some(Ending::MaxUsers), busy));
            }
            let needed = self.longest_batch.unwrap_or_default();
            if self
                .work_until
                .is_some_and(|until| Instant::now() + needed >= until)
            {
                return Ok((Some(Ending::OutOfTime), busy));
            }
            let page = i32::try_from(u64::from(self.batch_size).min(allowed)).unwrap_or(i32::MAX);

            let began = Instant::now();
            let batch = match self.batch(pass, cursor, page).await {
                Ok(batch) => batch,
                Err(Error::Timeout) if self.batch_size > 1 => {
                    self.batch_size = (self.batch_size / SHRINK).max(1);
                    self.longest_batch = None;
                    tracing::warn!(
                        batch_size = self.batch_size,
                        "batch took too long, going on with smaller ones"
                    );
                    continue;
                }
                Err(error)
                    if error.is_retryable()
                        && self.work_until.is_some_and(|until| Instant::now() >= until) =>
                {
                    return Ok((Some(Ending::OutOfTime), busy));
                }
                Err(error) => return Err(error),
            };
            self.longest_batch = self.longest_batch.max(Some(began.elapsed()));

            if batch.last_user_id.is_none() {
                return Ok((None, busy));
            }
            cursor = batch.last_user_id;
            busy += batch.busy;
            // who was locked has not been attempted yet
            self.progress.attempted += batch.attempted - batch.busy;
            self.progress.created += batch.created;
            self.progress.failed += batch.failed;
            let room = MAX_FAILURES - self.failures.len();
            self.failures.extend(batch.failures.into_iter().take(room));
        }
    }

    async fn batch(&mut self, pass: Pass, cursor: Option<Uuid>, page: i32) -> Result<Batch> {
        let Self {
            work_until,
            longest_batch,
            batch_size,
            overrides,
            signed_up_before,
            ..
        } = self;
        let (work_until, is_trial) = (*work_until, longest_batch.is_none() && *batch_size > 1);
        let has_failed = pass == Pass::FailedBefore;
        patience::run_on(self.session, work_until, async |database| {
            let limit = work_until.map_or(BATCH_LIMIT, |until| {
                let rest = until.saturating_duration_since(Instant::now());
                // a first batch that takes all the time there is would leave none for smaller ones, now and every time
                BATCH_LIMIT.min(if is_trial { rest / 3 } else { rest })
            });
            database
                .write(limit, async |queries| {
                    let row = queries
                        .row(
                            include_str!("repair_batch.sql"),
                            &[
                                (&cursor, Type::UUID),
                                (&page, Type::INT4),
                                (signed_up_before, Type::TIMESTAMPTZ),
                                (&has_failed, Type::BOOL),
                                (overrides, Type::JSONB),
                            ],
                        )
                        .await?;
                    let (attempted, busy): (i64, i64) =
                        (column(&row, "attempted")?, column(&row, "busy")?);
                    if attempted > MANY && busy == attempted {
                        return Err(Error::table_is_locked());
                    }
                    let failures: serde_json::Value = column(&row, "failures")?;
                    Ok(Batch {
                        attempted,
                        created: column(&row, "created")?,
                        failed: column(&row, "failed")?,
                        busy,
                        last_user_id: column(&row, "last_user_id")?,
                        failures: serde_json::from_value(failures)
                            .map_err(|_| Error::UnexpectedAnswer)?,
                    })
                })
                .await
        })
        .await
    }
}
