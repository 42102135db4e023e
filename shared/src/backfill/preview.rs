//! What a repair would do, found out by doing it and taking it back.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{UserResult, overrides};
use super::count::count;
use super::outcome::MAX_ROWS;
use super::{DryRun, IdRange, PreviewRow};
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::masked::{Masked, RowValue};
use crate::patience;
use crate::session::Session;

/// Limit of one trial. Those that are cut smaller fit, together with this one, into one call over HTTP.
const LIMIT: Duration = Duration::from_secs(8);

/// By how much a trial shrinks that took too long.
const SHRINK: i32 = 16;

/// How many users a dry run tries at most: enough to see what fails, few enough for one transaction.
const MAX_TRIED: u64 = 1000;

/// Tries one page of missing users and takes the trial back. Where that takes too long, tries fewer; where the
/// database is busy, tries again until `until` at most.
///
/// # Errors
/// What the database refuses; nothing is changed either way.
pub async fn dry_run(
    session: &mut Session,
    range: IdRange,
    max_users: Option<u64>,
    account_type: Option<&str>,
    until: Option<Instant>,
) -> Result<DryRun> {
    let overrides = overrides(account_type);
    let total_missing = count(session, range, until).await?;
    let mut page = i32::try_from(max_users.unwrap_or(MAX_TRIED).min(MAX_TRIED)).unwrap_or(i32::MAX);
    loop {
        let trial = patience::run_on(session, until, async |database| {
            trial(database, page, range, &overrides).await
        })
        .await;
        match trial {
            Err(Error::Timeout) if page > 1 => page = (page / SHRINK).max(1),
            Err(error) => return Err(error),
            Ok((trial, took)) => {
                // signups between the count and the trial
                let total_missing = total_missing.max(trial.tried);
                let wanted = max_users.map_or(total_missing, |max| {
                    total_missing.min(i64::try_from(max).unwrap_or(i64::MAX))
                });
                return Ok(DryRun {
                    total_missing,
                    estimated_seconds: estimate(wanted, trial.tried, took),
                    ..trial
                });
            }
        }
    }
}

/// As fast as the trial was, in seconds with one decimal.
#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn estimate(wanted: i64, tried: i64, took: Duration) -> f64 {
    if tried == 0 {
        return 0.0;
    }
    (took.as_secs_f64() / tried as f64 * wanted as f64 * 10.0).round() / 10.0
}

async fn trial(
    database: &mut Database,
    page: i32,
    range: IdRange,
    overrides: &serde_json::Value,
) -> Result<(DryRun, Duration)> {
    database
        .write(LIMIT, async |queries| {
            let began = Instant::now();
            let rows = queries
                .rows(
                    include_str!("preview_page.sql"),
                    &[
                        (&page, Type::INT4),
                        (&range.first, Type::UUID),
                        (&range.last, Type::UUID),
                        (overrides, Type::JSONB),
                        (&MAX_ROWS, Type::INT4),
                    ],
                )
                .await?;
            let took = began.elapsed();
            let mut trial = DryRun {
                total_missing: 0,
                tried: 0,
                would_create: 0,
                would_fail: 0,
                busy: 0,
                users: vec![],
                failures: vec![],
                rows: vec![],
                estimated_seconds: 0.0,
            };
            for row in &rows {
                trial.tried += 1;
                match UserResult::read(row)? {
                    UserResult::Failed(failure) => {
                        trial.would_fail += 1;
                        trial.failures.push(failure);
                    }
                    UserResult::Busy => trial.busy += 1,
                    UserResult::Created(user_id) => {
                        trial.would_create += 1;
                        trial.users.push(user_id);
                        if let Some(profile) = column::<Option<Value>>(row, "profile")? {
                            trial.rows.push(preview_row(user_id, &profile)?);
                        }
                    }
                }
            }
            Ok((trial, took))
        })
        .await
}

fn preview_row(user_id: Uuid, profile: &Value) -> Result<PreviewRow> {
    let columns = profile
        .as_object()
        .ok_or(Error::UnexpectedAnswer)?
        .iter()
        .map(|(name, value)| {
            let shown = (!value.is_null()).then(|| Masked::new(RowValue::new(name, value)));
            (name.clone(), shown)
        })
        .collect();
    Ok(PreviewRow { user_id, columns })
}
