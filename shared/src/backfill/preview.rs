//! What a repair would do, found out by doing it and taking it back.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::DryRun;
use super::batch::{UserResult, overrides};
use super::count::count;
use crate::database::Database;
use crate::error::{Error, Result};
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
    max_users: Option<u64>,
    account_type: Option<&str>,
    until: Option<Instant>,
) -> Result<DryRun> {
    let overrides = overrides(account_type);
    let total_missing = count(session, until).await?;
    let mut page = i32::try_from(max_users.unwrap_or(MAX_TRIED).min(MAX_TRIED)).unwrap_or(i32::MAX);
    loop {
        let trial = patience::run_on(session, until, async |database| {
            trial(database, page, &overrides).await
        })
        .await;
        match trial {
            Err(Error::Timeout) if page > 1 => page = (page / SHRINK).max(1),
            Err(error) => return Err(error),
            Ok(trial) => {
                // signups between the count and the trial
                let total_missing = total_missing.max(trial.tried);
                return Ok(DryRun {
                    total_missing,
                    ..trial
                });
            }
        }
    }
}

async fn trial(
    database: &mut Database,
    page: i32,
    overrides: &serde_json::Value,
) -> Result<DryRun> {
    database
        .write(LIMIT, async |queries| {
            let rows = queries
                .rows(
                    include_str!("preview.sql"),
                    &[(&page, Type::INT4), (overrides, Type::JSONB)],
                )
                .await?;
            let mut trial = DryRun {
                total_missing: 0,
                tried: 0,
                would_create: 0,
                would_fail: 0,
                busy: 0,
                users: vec![],
                failures: vec![],
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
                    }
                }
            }
            Ok(trial)
        })
        .await
}
