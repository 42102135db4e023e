//! The repair of one user.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::overrides;
use super::count;
use super::{Failure, UserOutcome};
use crate::database::column;
use crate::error::Result;
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(20);

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
    // patience is for what passes by itself; a server that was never reached is reported at once
    session
        .run(async |database| count::now(database).await)
        .await?;
    patience::run_on(session, None, async |database| {
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

/// The failure that a row of `rollcall.repair_result` tells, if it tells one.
pub(super) fn failure(row: &Row) -> Result<Option<Failure>> {
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
