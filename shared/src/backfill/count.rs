//! How many users have no profile.

use std::time::Duration;

use tokio::time::Instant;

use crate::database::column;
use crate::error::Result;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(60);

/// How many users have no profile now. Where the database is busy, tries again until `until` at most.
///
/// # Errors
/// What the database refuses.
pub async fn count(session: &mut Session, until: Option<Instant>) -> Result<i64> {
    session
        .retry(until, async |database| {
            database
                .read(LIMIT, async |queries| {
                    let row = queries
                        .row("select rollcall.count_missing() as missing", &[])
                        .await?;
                    column(&row, "missing")
                })
                .await
        })
        .await
}
