//! Changing the profiles that were looked at, in batches.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{SyncRun, is_about_rows};
use super::{EmailChange, EmailLook};
use crate::error::{Error, Result};
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(30);

/// How many failures are listed; the count is of all.
pub const MAX_FAILURES: usize = 1000;

/// So many locked rows at once are no rows any more, but a table.
const MAX_BUSY: usize = 3;

/// What a sync did.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EmailSync {
    /// Its run, which `rollcall undo` takes.
    pub run_id: Uuid,
    /// Profiles that were offered.
    pub offered: i64,
    /// Profiles that have the user's address now.
    pub changed: i64,
    /// Profiles or users that changed, or went, since they were looked at, and stay as they are.
    pub skipped: i64,
    /// Profiles that another transaction kept locked.
    pub busy: i64,
    /// Profiles that the database did not let be changed.
    pub failed: i64,
    /// Those, at most [`MAX_FAILURES`].
    pub failures: Vec<FailedEmail>,
    /// Whether everyone that was looked at was attempted: nobody stopped or cancelled it.
    pub is_complete: bool,
}

/// A profile that cannot be changed; never a value of the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailedEmail {
    /// Whose it is.
    pub user_id: Uuid,
    /// SQLSTATE, five characters. `23505`: another profile has the address; `RC002`: a trigger kept the old one.
    pub sqlstate: String,
}

/// Changes the profiles of `look`, a batch a transaction; a batch that fails is done again row by row. A row that changed
/// since it was looked at is not touched. The application's triggers fire as for any update. `report` hears of the run before each
/// batch; where it says so, that batch and those behind it are left out, and the run is over.
///
/// # Errors
/// What the database refuses before the first batch, and an error of the connection or the server; what was done stays.
pub async fn apply(
    session: &mut Session,
    look: &EmailLook,
    batch_size: u32,
    report: impl FnMut(Uuid) -> ControlFlow<()>,
) -> Result<EmailSync> {
    let batch_size = batch_size.max(1) as usize;
    let run = session
        .write(LIMIT, async |queries| {
            SyncRun::start(queries, look.offered, batch_size).await
        })
        .await?;
    let mut work = Work {
        session,
        batch: 0,
        busy_in_a_row: 0,
        sync: EmailSync {
            run_id: run.run_id,
            offered: look.offered,
            changed: 0,
            skipped: 0,
            busy: 0,
            failed: 0,
            failures: Vec::new(),
            is_complete: false,
        },
        run,
    };
    let outcome = work.all(&look.changes, batch_size, report).await;
    let Work { session, sync, .. } = work;
    let ended = end(session, &sync, outcome.as_ref().err().map(Error::id)).await;
    outcome?;
    ended?;
    Ok(sync)
}

struct Work<'a> {
    session: &'a mut Session,
    run: SyncRun,
    batch: i32,
    busy_in_a_row: usize,
    sync: EmailSync,
}

impl Work<'_> {
    async fn all(
        &mut self,
        changes: &[EmailChange],
        batch_size: usize,
        mut report: impl FnMut(Uuid) -> ControlFlow<()>,
    ) -> Result<()> {
        for page in changes.chunks(batch_size) {
            if report(self.run.run_id).is_break() || !self.page(page).await? {
                return Ok(());
            }
        }
        self.sync.is_complete = true;
        Ok(())
    }

    /// Whether the run goes on.
    async fn page(&mut self, rows: &[EmailChange]) -> Result<bool> {
        match self.change(rows).await {
            Err(error) if rows.len() > 1 && is_about_rows(&error) => {
                for row in rows.chunks(1) {
                    let outcome = self.change(row).await;
                    if !self.take(row, outcome)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            outcome => self.take(rows, outcome),
        }
    }

    /// Counts what became of rows: so many were changed, somebody ended the run, or an error of the only one.
    fn take(&mut self, rows: &[EmailChange], outcome: Result<Option<i64>>) -> Result<bool> {
        match outcome {
            Ok(None) => return Ok(false),
            Ok(Some(changed)) => {
                self.busy_in_a_row = 0;
                self.sync.changed += changed;
                self.sync.skipped += i64::try_from(rows.len()).unwrap_or(i64::MAX) - changed;
            }
            Err(error) if !is_about_rows(&error) => return Err(error),
            Err(error) if error.is_retryable() => {
                self.busy_in_a_row += 1;
                self.sync.busy += 1;
                if self.busy_in_a_row > MAX_BUSY {
                    return Err(error);
                }
            }
            Err(Error::Statement { sqlstate, .. }) => {
                self.busy_in_a_row = 0;
                self.sync.failed += 1;
                if self.sync.failures.len() < MAX_FAILURES {
                    let user_id = rows[0].user_id;
                    self.sync.failures.push(FailedEmail { user_id, sqlstate });
                }
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// One transaction: how many rows were changed; none: somebody ended the run.
    async fn change(&mut self, rows: &[EmailChange]) -> Result<Option<i64>> {
        self.batch += 1;
        let (run, batch) = (&self.run, self.batch);
        self.session
            .write(LIMIT, async |queries| {
                if !run.begin_batch(queries).await? {
                    return Ok(None);
                }
                run.change(queries, batch, rows).await.map(Some)
            })
            .await
    }
}

async fn end(session: &mut Session, sync: &EmailSync, error: Option<&str>) -> Result<()> {
    let (run_id, failed, is_complete) = (sync.run_id, sync.failed + sync.busy, sync.is_complete);
    session
        .retry(None, async |database| {
            database
                .write(LIMIT, async |queries| {
                    queries
                        .rows(
                            include_str!("end_run.sql"),
                            &[
                                (&run_id, Type::UUID),
                                (&failed, Type::INT8),
                                (&error, Type::TEXT),
                                (&is_complete, Type::BOOL),
                            ],
                        )
                        .await
                })
                .await
        })
        .await?;
    Ok(())
}
