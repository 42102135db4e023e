//! Runs: what is known of each, and what a person may do to one.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::column;
use crate::error::{Error, Result};
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(10);

/// SQLSTATE for a run that is not there.
pub const NO_SUCH_RUN: &str = "RC007";

/// SQLSTATE for the undo of a run that has not ended.
pub const NOT_ENDED: &str = "RC008";

/// SQLSTATE of `rollcall.start_run` for a key that was used for another request.
pub const KEY_WAS_USED: &str = "RC006";

/// SQLSTATE of `rollcall.start_run` where a repair would do what no rollback takes back.
pub const OUTSIDE_CALLS: &str = "RC011";

/// How the refusal ends of what only the owner of the schema may ask for.
const OWNER_ONLY: &str = "may neither choose values of a profile nor replay signups";

/// Whether something was asked for that only the owner of the schema may: an account type, a replay.
pub fn is_for_the_owner(error: &Error) -> bool {
    matches!(error, Error::NotPermitted(message) if message.ends_with(OWNER_ONLY))
}

/// A repair as it stands in `rollcall.run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Run {
    /// Its id.
    pub run_id: Uuid,
    /// What it does.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// Why it is done (`complete`, `max_users`), or the error that ended it.
    pub stop_reason: Option<String>,
    /// `cli`, `api`, `lambda` or `state_machine`.
    pub source: String,
    /// The database role that started it.
    pub started_by: String,
    /// Why, in the words of the person who started it.
    pub note: Option<String>,
    /// Whether the application's signup triggers make the profiles, instead of the definition.
    pub is_replay: bool,
    /// Account type of its profiles, instead of the definition's.
    pub account_type: Option<String>,
    /// Users that are attempted before it ends.
    pub max_users: Option<i64>,
    /// Its bound: users who signed up later are left to the next run.
    pub signed_up_before: Timestamp,
    /// Users without a profile when it began.
    pub total_missing: i64,
    /// Users attempted.
    pub attempted: i64,
    /// Profiles created.
    pub created: i64,
    /// Profiles that could not be created.
    pub failed: i64,
    /// Users in one transaction at most.
    pub batch_size: i32,
    /// Share of the time that batches may take.
    pub throttle: f64,
    /// Why it does nothing just now: `lock`, `throttle`.
    pub waits_for: Option<String>,
    /// Whether a worker has its lease.
    pub is_leased: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last made progress.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it was undone.
    pub undone_at: Option<Timestamp>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// It creates profiles.
    Profiles,
    /// It changes the e-mail addresses of profiles; its counters are of these.
    Emails,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A worker has its lease, or the next one continues it.
    Running,
    /// A person stopped it for now.
    Paused,
    /// A person ended it.
    Cancelled,
    /// It came to its end.
    Done,
    /// An error ended it.
    Failed,
}

/// What a person may do to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop for now.
    Pause,
    /// Continue.
    Resume,
    /// End.
    Cancel,
}

impl Run {
    pub(super) fn read(report: Value) -> Result<Self> {
        serde_json::from_value(report).map_err(|_| Error::UnexpectedAnswer)
    }
}

/// The newest runs.
///
/// # Errors
/// What the database refuses.
pub async fn list(session: &mut Session, limit: u32) -> Result<Vec<Run>> {
    reports(session, limit, "").await
}

/// One run.
///
/// # Errors
/// [`NO_SUCH_RUN`], and what the database refuses.
pub async fn show(session: &mut Session, run_id: Uuid) -> Result<Run> {
    find(session, &run_id.to_string()).await
}

/// The run whose id begins so.
///
/// # Errors
/// [`NO_SUCH_RUN`] where there is none, or more than one; and what the database refuses.
pub async fn find(session: &mut Session, id_begins: &str) -> Result<Run> {
    let mut found = reports(session, 2, id_begins).await?;
    let refuse = |message: &str| {
        Err(Error::Statement {
            sqlstate: NO_SUCH_RUN.to_owned(),
            message: message.to_owned(),
            hint: Some("List them: rollcall runs.".to_owned()),
        })
    };
    match (found.pop(), found.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(_), false) => refuse("more than one run has an id that begins so"),
        (None, _) => refuse("there is no such run"),
    }
}

async fn reports(session: &mut Session, limit: u32, id_begins: &str) -> Result<Vec<Run>> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    session
        .retry(None, async |database| {
            database
                .read(LIMIT, async |queries| {
                    queries
                        .rows(
                            "select r.report from rollcall.run_reports($1, $2) r (report)",
                            &[(&limit, Type::INT4), (&id_begins, Type::TEXT)],
                        )
                        .await?
                        .iter()
                        .map(|row| Run::read(column(row, "report")?))
                        .collect()
                })
                .await
        })
        .await
}

/// The refusal of `rollcall.undo_batch`, for a run that is no repair.
pub(crate) fn has_not_ended(run_id: Uuid) -> Error {
    Error::Statement {
        sqlstate: NOT_ENDED.to_owned(),
        message: "this run has not ended yet".to_owned(),
        hint: Some(format!("Cancel it first: rollcall runs cancel {run_id}.")),
    }
}

/// The refusal of `rollcall.start_run`, for what begins without it.
pub fn has_outside_calls(reasons: &[String]) -> Error {
    Error::Statement {
        sqlstate: OUTSIDE_CALLS.to_owned(),
        message: format!(
            "a repair would do what no rollback takes back: {}",
            reasons.join("; ")
        ),
        hint: Some("If that is wanted, add --allow-outside-calls.".to_owned()),
    }
}

/// Pauses, resumes or cancels a run, after the batch in hand; twice is once.
///
/// # Errors
/// [`NO_SUCH_RUN`], and what the database refuses.
pub async fn control(session: &mut Session, run_id: Uuid, action: Action) -> Result<Run> {
    let action = match action {
        Action::Pause => "pause",
        Action::Resume => "resume",
        Action::Cancel => "cancel",
    };
    session
        .retry(None, async |database| {
            database
                .write(LIMIT, async |queries| {
                    let row = queries
                        .row(
                            "select rollcall.change_run($1, $2) as report",
                            &[(&run_id, Type::UUID), (&action, Type::TEXT)],
                        )
                        .await?;
                    Run::read(column(&row, "report")?)
                })
                .await
        })
        .await
}
