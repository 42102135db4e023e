//! The repair of one user.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::dry_run::{self, Outcome};
use super::options::overrides;
use super::{Failure, RunOptions, UserResult, runs};
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(20);

/// Repairs one user by the definition, or only finds out what would happen. Of the options, those that say with what count.
/// While another transaction is in the way, tries again until
/// `until` at most.
///
/// # Errors
/// What the database refuses, also that something stayed locked.
pub async fn apply_to_user(
    session: &mut Session,
    user_id: Uuid,
    options: &RunOptions,
    dry_run: bool,
    until: Option<Instant>,
) -> Result<UserResult> {
    session
        .retry(until, async |database| {
            let is_expected: bool = database
                .read(LIMIT, async |queries| {
                    let row = queries
                        .row(
                            "select rollcall.is_expected($1) as is_expected",
                            &[(&user_id, Type::UUID)],
                        )
                        .await?;
                    column(&row, "is_expected")
                })
                .await?;
            if !is_expected {
                Ok(UserResult::NotExpected)
            } else if dry_run {
                try_out(database, user_id, options).await
            } else {
                repair(database, user_id, options).await
            }
        })
        .await
}

async fn try_out(
    database: &mut Database,
    user_id: Uuid,
    options: &RunOptions,
) -> Result<UserResult> {
    let preview = dry_run::preview(database, Some(&[user_id]), 1, options, 0).await?;
    if !preview.not_tried_because.is_empty() {
        return Ok(UserResult::NotTried {
            not_tried_because: preview.not_tried_because,
        });
    }
    match preview.results.into_iter().next() {
        None => Ok(UserResult::AlreadyExists),
        Some(tried) => match tried.outcome {
            Outcome::Created => Ok(UserResult::Created),
            Outcome::Failed => Ok(UserResult::Failed(tried.failure()?)),
            Outcome::Busy => Err(Error::row_is_locked()),
        },
    }
}

async fn repair(
    database: &mut Database,
    user_id: Uuid,
    options: &RunOptions,
) -> Result<UserResult> {
    if !options.allow_outside_calls {
        let nobody = dry_run::preview(database, Some(&[]), 0, options, 0).await?;
        if !nobody.outside_calls.is_empty() {
            return Err(runs::has_outside_calls(&nobody.outside_calls));
        }
    }
    let overrides = overrides(options.account_type.as_deref());
    database
        .write(LIMIT, async |queries| {
            let rows = queries
                .rows(
                    include_str!("repair_user.sql"),
                    &[(&user_id, Type::UUID), (&overrides, Type::JSONB)],
                )
                .await?;
            // somebody, perhaps the user's own signup, was there first
            let Some(row) = rows.first() else {
                return Ok(UserResult::AlreadyExists);
            };
            match column(row, "outcome")? {
                "created" => Ok(UserResult::Created),
                "failed" => Ok(UserResult::Failed(Failure::read(row)?)),
                "busy" => Err(Error::row_is_locked()),
                _ => Err(Error::UnexpectedAnswer),
            }
        })
        .await
}
