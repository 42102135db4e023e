//! What a repair would do, found out by doing it and taking it back.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::DryRun;
use super::batch::overrides;
use super::count::count_missing;
use super::user::failure;
use crate::database::column;
use crate::error::Result;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(60);

/// How many users a dry run tries at most: enough to see what fails, few enough for one transaction.
const MAX_TRIED: u64 = 1000;

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
            let total_missing = count_missing(database, Timestamp::MAX).await?;
            database
                .write(LIMIT, async |queries| {
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
                    // signups between the count and the trial
                    preview.total_missing = preview.total_missing.max(preview.tried);
                    Ok(preview)
                })
                .await
        })
        .await
}
