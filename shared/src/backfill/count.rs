//! How many users have no profile.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_postgres::types::Type;

use crate::database::{Database, column};
use crate::error::Result;
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(60);

/// How many users have no profile now. Where the database is busy, tries again until `until` at most.
///
/// # Errors
/// What the database refuses.
pub async fn count(session: &mut Session, until: Option<Instant>) -> Result<i64> {
    patience::run_on(session, until, async |database| {
        count_missing(database, Timestamp::MAX).await
    })
    .await
}

pub(super) async fn count_missing(
    database: &mut Database,
    signed_up_before: Timestamp,
) -> Result<i64> {
    database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    include_str!("count_missing.sql"),
                    &[(&signed_up_before, Type::TIMESTAMPTZ)],
                )
                .await?;
            column(&row, "missing")
        })
        .await
}
