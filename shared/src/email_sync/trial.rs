//! What a sync would meet, found out by doing it in a transaction that is rolled back.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Type;

use super::batch::{SyncRun, is_about_rows};
use super::{EmailChange, EmailLook, FailedEmail};
use crate::database::{Database, Queries};
use crate::error::{Error, Result};
use crate::session::Session;

/// Limit of one trial: until it is over, others wait for the rows that it changes.
const LIMIT: Duration = Duration::from_secs(3);

/// How long a trial waits for a row that others keep locked, in milliseconds.
const LOCK_WAIT: &str = "50";

/// By how much a trial shrinks that took too long.
const SHRINK: usize = 16;

/// How many profiles are tried at most: enough to see what fails, few enough for one transaction.
const MAX_TRIED: usize = 1000;

/// What became of the profiles that were tried. Nothing was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EmailTrial {
    /// Why none was tried: what a try would do that no rollback takes back. Empty: they were tried.
    pub not_tried_because: Vec<String>,
    /// How many of the offered profiles were tried, and rolled back.
    pub tried: i64,
    /// How many were not: what would become of them is not known.
    pub not_tried: i64,
    /// Of the tried, profiles that would get the user's address.
    pub would_change: i64,
    /// Of the tried, profiles or users that changed, or went, since they were looked at.
    pub skipped: i64,
    /// Of the tried, profiles that another transaction kept locked: nothing is known of them.
    pub busy: i64,
    /// Of the tried, profiles that the database would not let be changed.
    pub would_fail: i64,
    /// Those, at most 1,000.
    pub failures: Vec<FailedEmail>,
}

/// Tries to change the first profiles of `look`, and rolls it back. Where that takes too long, tries fewer. Where Rollcall
/// is not installed, or where a try would do what no rollback takes back, tries none.
///
/// # Errors
/// What the database refuses; nothing is changed either way.
pub async fn try_out(session: &mut Session, look: &EmailLook) -> Result<EmailTrial> {
    let mut page = look.changes.len().min(MAX_TRIED);
    if !look.not_tried_because.is_empty() {
        page = 0;
    }
    let mut trial = loop {
        if page == 0 {
            break EmailTrial::default();
        }
        let rows = &look.changes[..page];
        let tried = session
            .retry(None, async |database: &mut Database| {
                database
                    .try_out(LIMIT, async |queries| try_all(queries, rows).await)
                    .await
            })
            .await;
        match tried {
            Err(Error::Timeout) if page > 1 => page = (page / SHRINK).max(1),
            tried => break tried?,
        }
    };
    trial.not_tried_because.clone_from(&look.not_tried_because);
    trial.not_tried = look.offered - trial.tried;
    Ok(trial)
}

/// All of them in one transaction. A batch that fails is halved, until it is clear which rows do.
async fn try_all(queries: &Queries<'_>, rows: &[EmailChange]) -> Result<EmailTrial> {
    let mut trial = EmailTrial::default();
    let run = SyncRun::start(queries, count(rows), rows.len()).await?;
    run.begin_batch(queries).await?;
    queries
        .rows(
            "select set_config('lock_timeout', $1, true), rollcall.keep_sequences()",
            &[(&LOCK_WAIT, Type::TEXT)],
        )
        .await?;
    let mut batch = 0;
    let mut pages = vec![rows];
    while let Some(page) = pages.pop() {
        batch += 1;
        queries.script("savepoint page").await?;
        match run.change(queries, batch, page).await {
            Ok(changed) => {
                trial.would_change += changed;
                trial.skipped += count(page) - changed;
            }
            Err(error) if !is_about_rows(&error) => return Err(error),
            Err(error) => {
                queries.script("rollback to savepoint page").await?;
                if let [row] = page {
                    trial.count_failure(row, error);
                } else {
                    let (first, second) = page.split_at(page.len() / 2);
                    pages.extend([second, first]);
                }
            }
        }
    }
    trial.tried = count(rows);
    Ok(trial)
}

impl EmailTrial {
    fn count_failure(&mut self, row: &EmailChange, error: Error) {
        match error {
            error if error.is_retryable() => self.busy += 1,
            Error::Statement { sqlstate, .. } => {
                self.would_fail += 1;
                self.failures.push(FailedEmail {
                    user_id: row.user_id,
                    sqlstate,
                });
            }
            _ => {}
        }
    }
}

fn count(rows: &[EmailChange]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}
