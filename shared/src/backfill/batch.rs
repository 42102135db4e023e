//! What every statement of a repair is given, and what it answers: for a batch, and for each user.

use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Failure, Run};
use crate::database::column;
use crate::error::{Error, Result};

/// What a step of a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Batch,
    /// A pass begins again for those who were locked.
    Round,
    /// The table was locked, and nothing attempted.
    Locked,
    /// Standbys are too far behind.
    Lagging,
    /// Another is at it.
    Held,
    /// The run is paused or at its end.
    Stopped,
    /// This step ended it.
    Finished,
}

/// What one step did, as the database says it.
pub(super) struct Batch {
    pub(super) step: Step,
    pub(super) attempted: i64,
    pub(super) created: i64,
    pub(super) failed: i64,
    /// Something was locked; the next try may succeed.
    pub(super) busy: i64,
    pub(super) skipped: i64,
    /// Users without a profile, where the step that ended the run has seen them all.
    pub(super) remaining: Option<i64>,
    pub(super) run: Run,
}

impl Batch {
    pub(super) fn read(row: &Row) -> Result<Self> {
        let run: Value = column(row, "run")?;
        Ok(Self {
            step: match column(row, "outcome")? {
                "batch" => Step::Batch,
                "round" => Step::Round,
                "locked" => Step::Locked,
                "lagging" => Step::Lagging,
                "held" => Step::Held,
                "stopped" => Step::Stopped,
                "finished" => Step::Finished,
                _ => return Err(Error::UnexpectedAnswer),
            },
            attempted: column(row, "attempted")?,
            created: column(row, "created")?,
            failed: column(row, "failed")?,
            busy: column(row, "busy")?,
            skipped: column(row, "skipped")?,
            remaining: run["remaining"].as_i64(),
            run: Run::read(run)?,
        })
    }
}

/// What became of one user: a row of `rollcall.repair_result`.
pub(super) enum UserResult {
    Created(Uuid),
    Failed(Failure),
    /// Something was locked; the next try may succeed.
    Busy,
}

impl UserResult {
    pub(super) fn read(row: &Row) -> Result<Self> {
        Ok(match column(row, "outcome")? {
            "created" => Self::Created(column(row, "user_id")?),
            "busy" => Self::Busy,
            "failed" => Self::Failed(Failure::read(row)?),
            _ => return Err(Error::UnexpectedAnswer),
        })
    }
}

impl Failure {
    pub(super) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            user_id: column(row, "user_id")?,
            sqlstate: column(row, "code")?,
            constraint: column(row, "constraint_name")?,
            column: column(row, "column_name")?,
        })
    }
}

/// Column values that replace the definition's.
pub(super) fn overrides(account_type: Option<&str>) -> Value {
    account_type.map_or_else(|| json!({}), |wish| json!({ "account_type": wish }))
}
