//! The repair of one user.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::UserOutcome;
use super::batch::{UserResult, overrides};
use crate::database::column;
use crate::error::{Error, Result};
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(20);

/// Repairs one user, or only finds out what would happen. While another transaction is in the way, tries again until
/// `until` at most.
///
/// # Errors
/// What the database refuses, also that something stayed locked.
pub async fn apply_to_user(
    session: &mut Session,
    user_id: Uuid,
    account_type: Option<&str>,
    dry_run: bool,
    until: Option<Instant>,
) -> Result<UserOutcome> {
    let overrides = overrides(account_type);
    let sql = if dry_run {
        include_str!("preview_user.sql")
    } else {
        include_str!("repair_user.sql")
    };
    patience::run_on(session, until, async |database| {
        database
            .write(LIMIT, async |queries| {
                let known = queries
                    .row(include_str!("user_state.sql"), &[(&user_id, Type::UUID)])
                    .await?;
                if !column::<bool>(&known, "is_expected")? {
                    return Ok(UserOutcome::NotExpected);
                }
                let rows = queries
                    .rows(sql, &[(&user_id, Type::UUID), (&overrides, Type::JSONB)])
                    .await?;
                match rows.first().map(UserResult::read).transpose()? {
                    // somebody, perhaps the user's own signup, was there first
                    None => Ok(UserOutcome::AlreadyExists),
                    Some(UserResult::Created(_)) => Ok(UserOutcome::Created),
                    Some(UserResult::Failed(failure)) => Ok(UserOutcome::Failed(failure)),
                    Some(UserResult::Busy) => Err(Error::row_is_locked()),
                }
            })
            .await
    })
    .await
}
