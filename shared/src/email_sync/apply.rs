//! Changing the profiles that were looked at, in batches.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::statements::Statements;
use super::{EmailChange, EmailLook};
use crate::backfill::Source;
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::masked::Masked;
use crate::retry;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(30);

/// How many failures are listed; the count is of all.
pub const MAX_FAILURES: usize = 1000;

/// So many locked rows at once are no rows any more, but a table.
const MAX_BUSY: usize = 3;

/// SQLSTATE of a row that a trigger kept as it was.
const DISCARDED: &str = "RC002";

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
    /// Whether everyone that was looked at was attempted: nobody cancelled it.
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
/// since the look is left alone. The application's triggers fire as for any update.
///
/// # Errors
/// What the database refuses before the first batch, and an error of the connection or the server; what was done stays.
pub async fn apply(session: &mut Session, look: &EmailLook, batch_size: u32) -> Result<EmailSync> {
    let (run_id, change) = start(session, look, batch_size).await?;
    let mut work = Work {
        session,
        change,
        batch: 0,
        busy_in_a_row: 0,
        sync: EmailSync {
            run_id,
            offered: look.offered,
            changed: 0,
            skipped: 0,
            busy: 0,
            failed: 0,
            failures: Vec::new(),
            is_complete: false,
        },
    };
    let outcome = work.all(&look.changes, batch_size).await;
    let Work { session, sync, .. } = work;
    let ended = end(session, &sync, outcome.as_ref().err().map(Error::id)).await;
    outcome?;
    ended?;
    Ok(sync)
}

struct Work<'a> {
    session: &'a mut Session,
    /// The statement that changes the rows of a batch.
    change: String,
    batch: i32,
    busy_in_a_row: usize,
    sync: EmailSync,
}

impl Work<'_> {
    async fn all(&mut self, changes: &[EmailChange], batch_size: u32) -> Result<()> {
        for page in changes.chunks(batch_size.max(1) as usize) {
            if !self.page(page).await? {
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
        let (run_id, batch, change) = (self.sync.run_id, self.batch, &self.change);
        let user_ids: Vec<Uuid> = rows.iter().map(|row| row.user_id).collect();
        let found: Vec<Option<&str>> = rows
            .iter()
            .map(|row| row.found.as_ref().map(Masked::reveal))
            .collect();
        let wanted: Vec<&str> = rows.iter().map(|row| row.wanted.reveal()).collect();
        self.session
            .run(async |database: &mut Database| {
                database
                    .write(LIMIT, async |queries| {
                        let begun = queries
                            .row(include_str!("begin_batch.sql"), &[(&run_id, Type::UUID)])
                            .await?;
                        if column::<&str>(&begun, "state")? != "running" {
                            return Ok(None);
                        }
                        let done = queries
                            .row(
                                change,
                                &[
                                    (&run_id, Type::UUID),
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
                        Ok(Some(column::<i64>(&done, "changed")?))
                    })
                    .await
            })
            .await
    }
}

/// Whether an error is about the rows, and another batch may go well.
pub(super) fn is_about_rows(error: &Error) -> bool {
    matches!(error, Error::Statement { sqlstate, .. }
        if !["08", "53", "57", "58"].iter().any(|class| sqlstate.starts_with(class)))
}

/// The new run, and the statement that changes the rows of a batch.
async fn start(session: &mut Session, look: &EmailLook, batch_size: u32) -> Result<(Uuid, String)> {
    let source = Source::Cli.name();
    let batch_size = i32::try_from(batch_size).unwrap_or(i32::MAX);
    let offered = look.offered;
    session
        .run(async |database: &mut Database| {
            database
                .write(LIMIT, async |queries| {
                    let statements = Statements::read(queries).await?;
                    let change = statements.change.ok_or(Error::UnexpectedAnswer)?;
                    let row = queries
                        .row(
                            include_str!("start_run.sql"),
                            &[
                                (&source, Type::TEXT),
                                (&batch_size, Type::INT4),
                                (&offered, Type::INT8),
                            ],
                        )
                        .await?;
                    Ok((column(&row, "run_id")?, change))
                })
                .await
        })
        .await
}

async fn end(session: &mut Session, sync: &EmailSync, error: Option<&str>) -> Result<()> {
    let (run_id, failed) = (sync.run_id, sync.failed + sync.busy);
    retry::run_on(session, None, async |database| {
        database
            .write(LIMIT, async |queries| {
                queries
                    .rows(
                        include_str!("end_run.sql"),
                        &[
                            (&run_id, Type::UUID),
                            (&failed, Type::INT8),
                            (&error, Type::TEXT),
                        ],
                    )
                    .await
            })
            .await
    })
    .await?;
    Ok(())
}
