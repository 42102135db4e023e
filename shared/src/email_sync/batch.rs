//! The statements of a run, within a transaction: its beginning, and a batch of it.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::EmailChange;
use super::statements::Statements;
use crate::backfill::Source;
use crate::database::{Queries, column};
use crate::error::{Error, Result};
use crate::masked::Masked;

/// SQLSTATE of a row that a trigger kept as it was.
const DISCARDED: &str = "RC002";

/// A run under way.
pub(super) struct SyncRun {
    pub(super) run_id: Uuid,
    /// The statement that changes the rows of a batch.
    change: String,
}

impl SyncRun {
    /// Begins one that is to change so many profiles.
    pub(super) async fn start(
        queries: &Queries<'_>,
        offered: i64,
        batch_size: usize,
    ) -> Result<Self> {
        let statements = Statements::read(queries).await?;
        let batch_size = i32::try_from(batch_size).unwrap_or(i32::MAX);
        let row = queries
            .row(
                include_str!("start_run.sql"),
                &[
                    (&Source::Cli.name(), Type::TEXT),
                    (&batch_size, Type::INT4),
                    (&offered, Type::INT8),
                ],
            )
            .await?;
        Ok(Self {
            run_id: column(&row, "run_id")?,
            change: statements.change.ok_or(Error::UnexpectedAnswer)?,
        })
    }

    /// Prepares a transaction for batches. Whether the run still goes on: a person may have ended it.
    pub(super) async fn begin_batch(&self, queries: &Queries<'_>) -> Result<bool> {
        let begun = queries
            .row(
                include_str!("begin_batch.sql"),
                &[(&self.run_id, Type::UUID)],
            )
            .await?;
        Ok(column::<&str>(&begun, "state")? == "running")
    }

    /// Changes these rows, and says how many were changed: those that are no longer as they were looked at stay.
    pub(super) async fn change(
        &self,
        queries: &Queries<'_>,
        batch: i32,
        rows: &[EmailChange],
    ) -> Result<i64> {
        let user_ids: Vec<Uuid> = rows.iter().map(|row| row.user_id).collect();
        let found: Vec<Option<&str>> = rows
            .iter()
            .map(|row| row.found.as_ref().map(Masked::reveal))
            .collect();
        let wanted: Vec<&str> = rows.iter().map(|row| row.wanted.reveal()).collect();
        let done = queries
            .row(
                &self.change,
                &[
                    (&self.run_id, Type::UUID),
                    (&batch, Type::INT4),
                    (&user_ids, Type::UUID_ARRAY),
                    (&found, Type::TEXT_ARRAY),
                    (&wanted, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        // what a commit would refuse is refused here, where it belongs to these rows
        queries.script("set constraints all immediate").await?;
        if column::<i64>(&done, "refused")? > 0 {
            return Err(Error::Statement {
                sqlstate: DISCARDED.to_owned(),
                message: "a trigger kept the address as it was".to_owned(),
                hint: None,
            });
        }
        column(&done, "changed")
    }
}

/// Whether an error is about the rows, and another batch may go well.
pub(super) fn is_about_rows(error: &Error) -> bool {
    matches!(error, Error::Statement { sqlstate, .. }
        if !["08", "53", "57", "58"].iter().any(|class| sqlstate.starts_with(class)))
}
