//! Undoing a run: deleting the profiles that are still as it made them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::column;
use crate::error::{Error, Result};
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(60);

/// How many profiles that stay are listed; the count is of all.
pub const MAX_SKIPPED: usize = 1000;

/// A profile that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SkippedProfile {
    /// Whose it is.
    pub user_id: Uuid,
    /// Why.
    pub reason: SkipReason,
}

/// Why a profile stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Something changed it since, or made it anew.
    Changed,
    /// A row of the application refers to it.
    Referenced,
    /// Something of the application's refuses that it is deleted or set back, or its user would go with it.
    Refused,
    /// It cannot be told whether it is as the run made it: it has a column that cannot be compared, or was claimed.
    NoReceipt,
}

/// What an undo did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Undo {
    /// Profiles deleted; of a run that changed e-mail addresses, those set back.
    pub removed: i64,
    /// Profiles that were not there any more.
    pub gone: i64,
    /// Profiles that stay.
    pub skipped: i64,
    /// Those, at most 1,000.
    pub skipped_profiles: Vec<SkippedProfile>,
}

/// Undoes a run batch by batch, each a transaction; or only finds out what that would do. What was done stays done when
/// it is interrupted; the next one continues.
///
/// # Errors
/// `RC007` for a run that is not there, `RC008` for one that has not ended, `55000` where deleting a profile could delete
/// a user, and what the database refuses.
pub async fn undo(session: &mut Session, run_id: Uuid, apply: bool) -> Result<Undo> {
    let mut done = Undo::default();
    let mut batch = 0;
    loop {
        let next = session
            .retry(None, async |database| {
                database
                    .write(LIMIT, async |queries| {
                        let rows = queries
                            .rows(
                                include_str!("undo_batch.sql"),
                                &[
                                    (&run_id, Type::UUID),
                                    (&batch, Type::INT4),
                                    (&apply, Type::BOOL),
                                ],
                            )
                            .await?;
                        let Some(row) = rows.first() else {
                            return Ok(None);
                        };
                        let skipped: Vec<SkippedProfile> =
                            serde_json::from_value(column(row, "skipped")?)
                                .map_err(|_| Error::UnexpectedAnswer)?;
                        Ok(Some((
                            column::<i32>(row, "batch")?,
                            column::<i64>(row, "removed")?,
                            column::<i64>(row, "gone")?,
                            skipped,
                        )))
                    })
                    .await
            })
            .await?;
        let Some((number, removed, gone, skipped)) = next else {
            return Ok(done);
        };
        batch = number;
        done.removed += removed;
        done.gone += gone;
        done.skipped += i64::try_from(skipped.len()).unwrap_or(i64::MAX);
        let room = MAX_SKIPPED - done.skipped_profiles.len();
        done.skipped_profiles.extend(skipped.into_iter().take(room));
    }
}
