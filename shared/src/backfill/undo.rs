//! Taking a run back: the profiles that are still as it made them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::column;
use crate::error::{Error, Result};
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(60);

/// How many profiles that stay are listed; the count is of all.
pub const MAX_KEPT: usize = 1000;

/// A profile that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whose it is.
    pub user_id: Uuid,
    /// Why.
    pub reason: KeptReason,
}

/// Why a profile stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptReason {
    /// Something changed it since, or made it anew.
    Changed,
    /// A row of the application refers to it.
    Referenced,
    /// Something of the application's refuses that it is deleted.
    Refused,
}

/// What an undo did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Undo {
    /// Profiles taken back.
    pub removed: i64,
    /// Profiles that were not there any more.
    pub gone: i64,
    /// Profiles that stay.
    pub kept: i64,
    /// Those, at most [`MAX_KEPT`].
    pub kept_profiles: Vec<Kept>,
}

/// Takes a run back batch by batch, each a transaction; or only finds out what that would do. What was done stays done
/// when it is interrupted; the next one goes on.
///
/// # Errors
/// `RC007` for a run that is not there, `RC008` for one that has not ended, and what the database refuses.
pub async fn undo(session: &mut Session, run_id: Uuid, apply: bool) -> Result<Undo> {
    let mut done = Undo::default();
    let mut batch = 0;
    loop {
        let next = patience::run_on(session, None, async |database| {
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
                    let kept: Vec<Kept> = serde_json::from_value(column(row, "kept")?)
                        .map_err(|_| Error::UnexpectedAnswer)?;
                    Ok(Some((
                        column::<i32>(row, "batch")?,
                        column::<i64>(row, "removed")?,
                        column::<i64>(row, "gone")?,
                        kept,
                    )))
                })
                .await
        })
        .await?;
        let Some((number, removed, gone, kept)) = next else {
            return Ok(done);
        };
        batch = number;
        done.removed += removed;
        done.gone += gone;
        done.kept += i64::try_from(kept.len()).unwrap_or(i64::MAX);
        let room = MAX_KEPT - done.kept_profiles.len();
        done.kept_profiles.extend(kept.into_iter().take(room));
    }
}
