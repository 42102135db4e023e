//! Runs: what is known of each, and what a person may do to one.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::{Parameter, column};
use crate::error::{Error, Result};
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(10);

/// SQLSTATE of `rollcall.*_run` for a run that is not there.
pub const NO_SUCH_RUN: &str = "RC007";

/// SQLSTATE of `rollcall.claim_request` for a key that was used for another request.
pub const KEY_WAS_USED: &str = "RC006";

/// A repair as it stands in `rollcall.run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub run_id: Uuid,
    /// Where it stands.
    pub state: RunState,
    /// Why it is done (`complete`, `max_users`), or the error that ended it.
    pub ending: Option<String>,
    /// `cli`, `api`, `lambda` or `state_machine`.
    pub face: String,
    /// The database role that started it.
    pub started_by: String,
    /// Why, in the words of whoever started it.
    pub note: Option<String>,
    /// Account type of its profiles, instead of the definition's.
    pub account_type: Option<String>,
    /// Users that are attempted before it ends.
    pub max_users: Option<i64>,
    /// First id of its range.
    pub from_user_id: Option<Uuid>,
    /// Last id of its range.
    pub to_user_id: Option<Uuid>,
    /// Its bound: who signed up later is left to the trigger and to the next run.
    pub signed_up_before: Timestamp,
    /// Users without a profile when it began.
    pub total_missing: i64,
    /// Users attempted.
    pub attempted: i64,
    /// Profiles created.
    pub created: i64,
    /// Profiles that could not be created.
    pub failed: i64,
    /// Of the failed, those whose failure was known and for whom nothing had changed; they were not tried again.
    pub skipped: i64,
    /// Users in one transaction at most.
    pub batch_size: i32,
    /// Share of the time that batches may take.
    pub duty: f64,
    /// Standbys that are further behind are waited for, in milliseconds.
    pub max_lag_ms: Option<i32>,
    /// Why it does nothing just now: `lock`, `replication_lag`, `duty`.
    pub waits_for: Option<String>,
    /// Whether somebody is at it.
    pub is_held: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last came further.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When its profiles were taken back.
    pub undone_at: Option<Timestamp>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Somebody is at it, or the next one who comes goes on with it.
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
    /// Go on.
    Resume,
    /// End.
    Cancel,
}

/// How fast a run goes; what is none stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Users in one transaction at most.
    pub batch_size: Option<u32>,
    /// Share of the time that batches may take, above 0 to 1.
    pub duty: Option<f32>,
    /// Standbys that are further behind are waited for, in milliseconds; 0: they are not looked at.
    pub max_lag_ms: Option<i32>,
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
    reports(session, limit, None).await
}

/// One run.
///
/// # Errors
/// [`NO_SUCH_RUN`], and what the database refuses.
pub async fn show(session: &mut Session, run_id: Uuid) -> Result<Run> {
    reports(session, 1, Some(run_id))
        .await?
        .pop()
        .ok_or_else(|| Error::Statement {
            sqlstate: NO_SUCH_RUN.to_owned(),
            message: "there is no such run".to_owned(),
            hint: Some("List them: rollcall runs.".to_owned()),
        })
}

async fn reports(session: &mut Session, limit: u32, run_id: Option<Uuid>) -> Result<Vec<Run>> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    patience::run_on(session, None, async |database| {
        database
            .read(LIMIT, async |queries| {
                queries
                    .rows(
                        "select r.report from rollcall.run_reports($1, $2) r (report)",
                        &[(&limit, Type::INT4), (&run_id, Type::UUID)],
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
    change(
        session,
        "select rollcall.control_run($1, $2) as report",
        &[(&run_id, Type::UUID), (&action, Type::TEXT)],
    )
    .await
}

/// Changes how fast a run goes, also while it runs.
///
/// # Errors
/// [`NO_SUCH_RUN`], and what the database refuses.
pub async fn set(session: &mut Session, run_id: Uuid, speed: Speed) -> Result<Run> {
    let batch_size = speed
        .batch_size
        .map(|size| i32::try_from(size).unwrap_or(i32::MAX));
    change(
        session,
        "select rollcall.set_run($1, $2, $3, $4) as report",
        &[
            (&run_id, Type::UUID),
            (&batch_size, Type::INT4),
            (&speed.duty, Type::FLOAT4),
            (&speed.max_lag_ms, Type::INT4),
        ],
    )
    .await
}

async fn change(session: &mut Session, sql: &str, parameters: &[Parameter<'_>]) -> Result<Run> {
    patience::run_on(session, None, async |database| {
        database
            .write(LIMIT, async |queries| {
                Run::read(column(&queries.row(sql, parameters).await?, "report")?)
            })
            .await
    })
    .await
}

/// A run that was left alone, if there is one.
///
/// # Errors
/// What the database refuses.
pub async fn unfinished(session: &mut Session, until: Option<Instant>) -> Result<Option<Uuid>> {
    patience::run_on(session, until, async |database| {
        database
            .read(LIMIT, async |queries| {
                column(
                    &queries
                        .row("select rollcall.unfinished_run() as run_id", &[])
                        .await?,
                    "run_id",
                )
            })
            .await
    })
    .await
}

/// Takes an idempotency key for a request that is no run.
///
/// # Errors
/// [`KEY_WAS_USED`] for another request, and what the database refuses.
pub async fn claim(
    session: &mut Session,
    key: &str,
    request: &Value,
    until: Option<Instant>,
) -> Result<()> {
    patience::run_on(session, until, async |database| {
        database
            .write(LIMIT, async |queries| {
                queries
                    .rows(
                        "select c.is_new from rollcall.claim_request($1, $2) c",
                        &[(&key, Type::TEXT), (request, Type::JSONB)],
                    )
                    .await?;
                Ok(())
            })
            .await
    })
    .await
}
