//! What the statements of a repair answer: for a batch, and for each user.

use serde_json::Value;
use tokio_postgres::Row;

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
    /// Another has the lease.
    Leased,
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
                "leased" => Step::Leased,
                "stopped" => Step::Stopped,
                "finished" => Step::Finished,
                _ => return Err(Error::UnexpectedAnswer),
            },
            attempted: column(row, "attempted")?,
            created: column(row, "created")?,
            failed: column(row, "failed")?,
            busy: column(row, "busy")?,
            run: Run::read(run)?,
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
            functions: column(row, "functions")?,
            reason: column(row, "reason")?,
        })
    }
}
