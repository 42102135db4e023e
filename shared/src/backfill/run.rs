//! The loop of a repair: page by page over the ids, until nobody is left, enough were attempted, or the time is up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::outcome::MAX_FAILURES;
use super::{DryRun, Ending, Failure, Outcome, Progress, UserOutcome};
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::session::Session;

/// Limit of one batch; the largest one takes a few seconds.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// How much smaller a batch is tried after one that took too long.
const SHRINK: u32 = 4;

/// Limit of one count of who is missing.
const COUNT_LIMIT: Duration = Duration::from_secs(60);

/// Kept free at the end of the time, for the last count and the answer.
const RESERVE: Duration = Duration::from_secs(2);

/// How many users a dry run tries at most: enough to see what fails, few enough for one transaction.
const MAX_TRIED: u64 = 1000;

/// How many users have no profile now.
///
/// # Errors
/// What the database refuses.
pub async fn count(session: &mut Session) -> Result<i64> {
    session
        .run(async |database| count_missing(database, Timestamp::MAX).await)
        .await
}

/// Tries one page of missing users and takes the trial back.
///
/// # Errors
/// What the database refuses; nothing is changed either way.
pub async fn dry_run(
    session: &mut Session,
    max_users: Option<u64>,
    account_type: Option<&str>,
) -> Result<DryRun> {
    let overrides = overrides(account_type);
    let page = i32::try_from(max_users.unwrap_or(MAX_TRIED).min(MAX_TRIED)).unwrap_or(i32::MAX);
    session
        .run(async |database| {
            let total_missing = count_missing(database, Timestamp::now()).await?;
            database
                .write(BATCH_LIMIT, async |queries| {
                    let rows = queries
                        .rows(
                            include_str!("preview.sql"),
                            &[(&page, Type::INT4), (&overrides, Type::JSONB)],
                        )
                        .await?;
                    let mut preview = DryRun {
                        total_missing,
                        tried: 0,
                        would_create: 0,
                        would_fail: 0,
                        users: vec![],
                        failures: vec![],
                    };
                    for row in &rows {
                        preview.tried += 1;
                        match failure(row)? {
                            Some(failure) => {
                                preview.would_fail += 1;
                                preview.failures.push(failure);
                            }
                            None => {
                                preview.would_create += 1;
                                preview.users.push(column(row, "user_id")?);
                            }
                        }
                    }
                    Ok(preview)
                })
                .await
        })
        .await
}

/// Repairs everyone who signed up before now and has no profile; signups during the repair are left to their trigger
/// and to the next one.
///
/// A batch that the database could not take just now (a lock, a lost connection) is tried again a few times; one
/// that took too long is cut smaller. Every batch that was taken stays, whatever happens later.
///
/// # Errors
/// What the database refuses. Batches before that stay.
pub async fn apply(
    session: &mut Session,
    batch_size: u32,
    max_users: Option<u64>,
    account_type: Option<&str>,
    until: Option<Instant>,
    mut report: impl FnMut(Progress),
) -> Result<Outcome> {
    let overrides = overrides(account_type);
    let signed_up_before = session.run(async |database| now(database).await).await?;
    let total_missing = session
        .run(async |database| count_missing(database, signed_up_before).await)
        .await?;
    let mut progress = Progress {
        total_missing,
        attempted: 0,
        created: 0,
        failed: 0,
    };
    let mut failures = Vec::new();
    let mut cursor: Option<Uuid> = None;
    let mut size = batch_size;
    // of the batches of this size; none of them has been seen yet
    let mut longest_batch: Option<Duration> = None;

    let ending = loop {
        report(progress);
        let allowed = max_users.map_or(u64::MAX, |max| {
            max.saturating_sub(progress.attempted.unsigned_abs())
        });
        if allowed == 0 {
            break Ending::MaxUsers;
        }
        let needed = longest_batch.unwrap_or_default() + RESERVE;
        if until.is_some_and(|until| Instant::now() + needed >= until) {
            break Ending::OutOfTime;
        }
        let limit = until.map_or(BATCH_LIMIT, |until| {
            let rest = (until - RESERVE).saturating_duration_since(Instant::now());
            // a first batch that takes all the time there is would leave none for smaller ones, now and every time
            let trial = longest_batch.is_none() && size > 1;
            BATCH_LIMIT.min(if trial { rest / 3 } else { rest })
        });
        let page = i32::try_from(u64::from(size).min(allowed)).unwrap_or(i32::MAX);

        let began = Instant::now();
        let batch = with_patience(session, until, async |database| {
            database
                .write(limit, async |queries| {
                    let row = queries
                        .row(
                            include_str!("repair_batch.sql"),
                            &[
                                (&cursor, Type::UUID),
                                (&page, Type::INT4),
                                (&signed_up_before, Type::TIMESTAMPTZ),
                                (&overrides, Type::JSONB),
                            ],
                        )
                        .await?;
                    Batch::read(&row)
                })
                .await
        })
        .await;
        let batch = match batch {
            Ok(batch) => batch,
            Err(Error::Timeout) if size > 1 => {
                size = (size / SHRINK).max(1);
                longest_batch = None;
                tracing::warn!(
                    batch_size = size,
                    "batch took too long, going on with smaller ones"
                );
                continue;
            }
            Err(error)
                if error.is_retryable()
                    && until.is_some_and(|until| Instant::now() + RESERVE >= until) =>
            {
                break Ending::OutOfTime;
            }
            Err(error) => return Err(error),
        };
        longest_batch = longest_batch.max(Some(began.elapsed()));

        if batch.last_user_id.is_none() {
            break Ending::Complete;
        }
        cursor = batch.last_user_id;
        progress.attempted += batch.attempted;
        progress.created += batch.created;
        progress.failed += batch.failed;
        let room = MAX_FAILURES - failures.len();
        failures.extend(batch.failures.into_iter().take(room));
    };

    let remaining = count(session).await?;
    Ok(Outcome {
        ending,
        total_missing,
        attempted: progress.attempted,
        created: progress.created,
        failed: progress.failed,
        remaining,
        failures,
    })
}

/// Repairs one user, or only finds out what would happen.
///
/// # Errors
/// What the database refuses.
pub async fn apply_to_user(
    session: &mut Session,
    user_id: Uuid,
    account_type: Option<&str>,
    dry_run: bool,
) -> Result<UserOutcome> {
    let overrides = overrides(account_type);
    let sql = if dry_run {
        include_str!("preview_user.sql")
    } else {
        include_str!("repair_user.sql")
    };
    with_patience(session, None, async |database| {
        database
            .write(BATCH_LIMIT, async |queries| {
                let known = queries
                    .row(include_str!("user_state.sql"), &[(&user_id, Type::UUID)])
                    .await?;
                if !column::<bool>(&known, "is_expected")? {
                    return Ok(UserOutcome::NotExpected);
                }
                let rows = queries
                    .rows(sql, &[(&user_id, Type::UUID), (&overrides, Type::JSONB)])
                    .await?;
                match rows.first() {
                    // no row: somebody, perhaps the user's own signup, was there first
                    None => Ok(UserOutcome::AlreadyExists),
                    Some(row) => {
                        Ok(failure(row)?.map_or(UserOutcome::Created, UserOutcome::Failed))
                    }
                }
            })
            .await
    })
    .await
}

/// What the batch did, as the database says it.
struct Batch {
    attempted: i64,
    created: i64,
    failed: i64,
    last_user_id: Option<Uuid>,
    failures: Vec<Failure>,
}

impl Batch {
    fn read(row: &Row) -> Result<Self> {
        let failures: serde_json::Value = column(row, "failures")?;
        Ok(Self {
            attempted: column(row, "attempted")?,
            created: column(row, "created")?,
            failed: column(row, "failed")?,
            last_user_id: column(row, "last_user_id")?,
            failures: serde_json::from_value(failures).map_err(|_| Error::UnexpectedAnswer)?,
        })
    }
}

fn failure(row: &Row) -> Result<Option<Failure>> {
    if column::<String>(row, "outcome")? == "created" {
        return Ok(None);
    }
    Ok(Some(Failure {
        user_id: column(row, "user_id")?,
        sqlstate: column(row, "code")?,
        constraint: column(row, "constraint_name")?,
        column: column(row, "column_name")?,
    }))
}

fn overrides(account_type: Option<&str>) -> serde_json::Value {
    account_type.map_or_else(
        || serde_json::json!({}),
        |wish| serde_json::json!({ "account_type": wish }),
    )
}

async fn now(database: &mut Database) -> Result<Timestamp> {
    database
        .read(COUNT_LIMIT, async |queries| {
            column(&queries.row("select now() as now", &[]).await?, "now")
        })
        .await
}

async fn count_missing(database: &mut Database, signed_up_before: Timestamp) -> Result<i64> {
    database
        .read(COUNT_LIMIT, async |queries| {
            column(
                &queries
                    .row(
                        include_str!("count_missing.sql"),
                        &[(&signed_up_before, Type::TIMESTAMPTZ)],
                    )
                    .await?,
                "missing",
            )
        })
        .await
}

/// Runs `work`, which must be safe to run twice, again after a pause while its error may pass by itself. What took
/// too long would take as long again.
async fn with_patience<T>(
    session: &mut Session,
    until: Option<Instant>,
    work: impl AsyncFn(&mut Database) -> Result<T>,
) -> Result<T> {
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(5)
        .with_jitter()
        .build();
    loop {
        let error = match session.run(&work).await {
            Err(error) if error.is_retryable() && !matches!(error, Error::Timeout) => error,
            done => return done,
        };
        match pauses.next() {
            Some(pause) if until.is_none_or(|until| Instant::now() + pause + RESERVE < until) => {
                tracing::warn!(
                    error.id = error.id(),
                    pause_ms = pause.as_millis(),
                    "batch put off"
                );
                sleep(pause).await;
            }
            _ => return Err(error),
        }
    }
}
