//! What repairs did lately, and how far the one that runs has come.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::backfill::{Run, RunState};
use crate::database::{Database, column};
use crate::error::{Error, Result};

const LIMIT: Duration = Duration::from_secs(5);

/// How many are shown.
const NEWEST: i32 = 5;

/// A repair, without the note of whoever started it, which may say anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repair {
    /// Its run.
    pub run_id: Uuid,
    /// Where it stands.
    pub state: RunState,
    /// Whether a worker has its lease.
    pub is_leased: bool,
    /// Why it does nothing just now: `lock`, `throttle`.
    pub waits_for: Option<String>,
    /// Users without a profile when it began.
    pub total_missing: i64,
    /// Profiles created.
    pub created: i64,
    /// Profiles that could not be created.
    pub failed: i64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last made progress.
    pub updated_at: Timestamp,
    /// When it was undone.
    pub undone_at: Option<Timestamp>,
}

impl From<Run> for Repair {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.run_id,
            state: run.state,
            is_leased: run.is_leased,
            waits_for: run.waits_for,
            total_missing: run.total_missing,
            created: run.created,
            failed: run.failed,
            created_at: run.created_at,
            updated_at: run.updated_at,
            undone_at: run.undone_at,
        }
    }
}

impl Repair {
    /// Where it stands, in words.
    pub(super) fn state(&self) -> String {
        if self.undone_at.is_some() {
            return "undone".to_owned();
        }
        match (self.state, self.is_leased, self.waits_for.as_deref()) {
            (RunState::Running, true, Some(reason)) => {
                format!("running, waits for {}", reason.replace('_', " "))
            }
            (RunState::Running, true, None) => "running".to_owned(),
            (RunState::Running, false, _) => "stalled; the next repair continues it".to_owned(),
            (RunState::Paused, ..) => "paused".to_owned(),
            (RunState::Cancelled, ..) => "cancelled".to_owned(),
            (RunState::Done, ..) => "done".to_owned(),
            (RunState::Failed, ..) => "failed".to_owned(),
        }
    }
}

/// The newest repairs, newest first.
pub(super) async fn newest(database: &mut Database) -> Result<Vec<Repair>> {
    database
        .read(LIMIT, async |queries| {
            queries
                .rows(
                    "select r.report from rollcall.run_reports($1) r (report) where r.report ->> 'kind' = 'profiles'",
                    &[(&NEWEST, Type::INT4)],
                )
                .await?
                .iter()
                .map(|row| {
                    let run: Run = serde_json::from_value(column(row, "report")?)
                        .map_err(|_| Error::UnexpectedAnswer)?;
                    Ok(run.into())
                })
                .collect()
        })
        .await
}
