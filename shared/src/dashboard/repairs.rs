//! What repairs did lately.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::database::{Database, column};
use crate::error::Result;

const LIMIT: Duration = Duration::from_secs(5);

/// Repairs of one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// The last that was done in it.
    pub last_at: Timestamp,
    /// Profiles that were created.
    pub created: i64,
    /// Profiles that could not be created.
    pub failed: i64,
}

/// The newest hours in which something was repaired.
pub(super) async fn newest(database: &mut Database) -> Result<Vec<Repairs>> {
    database
        .read(LIMIT, async |queries| {
            queries
                .rows(
                    "select r.last_at, r.created, r.failed from rollcall.recent_repairs() r",
                    &[],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(Repairs {
                        last_at: column(row, "last_at")?,
                        created: column(row, "created")?,
                        failed: column(row, "failed")?,
                    })
                })
                .collect()
        })
        .await
}
