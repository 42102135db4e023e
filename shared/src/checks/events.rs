//! What is on record between a user's signup and profile.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::{Database, column};
use crate::error::Result;
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(20);

/// One event of a user.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserEvent {
    /// Number of the event; grows with time.
    pub event_id: i64,
    /// `auth_user_created`, `profile_bootstrap_ok`, `profile_bootstrap_error`, `profile_backfilled` or
    /// `profile_backfill_error`.
    pub kind: String,
    /// `source`, and for errors `sqlstate`, `constraint`, `column`.
    pub payload: Option<serde_json::Value>,
    /// When it happened.
    pub created_at: Timestamp,
}

/// What is on record of a user, and whether the profile is there now.
#[derive(Clone, Debug, Serialize)]
pub struct UserEvents {
    /// Whether the profile is there if it must be.
    pub verdict: Verdict,
    /// What led to it.
    pub findings: Vec<Finding>,
    /// The user.
    pub user_id: Uuid,
    /// The events, oldest first.
    pub events: Vec<UserEvent>,
}

/// The events of a user. A user who is gone has events, too.
///
/// # Errors
/// What the database refuses.
pub async fn of_user(database: &mut Database, user_id: Uuid) -> Result<UserEvents> {
    database
        .read(LIMIT, async |queries| {
            let missing = queries
                .row(
                    "select exists (select from rollcall.missing_among(array[$1])) as missing",
                    &[(&user_id, Type::UUID)],
                )
                .await?;
            let findings: Vec<Finding> =
                column::<bool>(&missing, "missing")?.then(|| finding::missing_profiles(1)).into_iter().collect();
            let events = queries
                .rows(
                    "select e.event_id, e.kind, e.payload, e.created_at from public.get_user_signup_events($1) e",
                    &[(&user_id, Type::UUID)],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(UserEvent {
                        event_id: column(row, "event_id")?,
                        kind: column(row, "kind")?,
                        payload: column(row, "payload")?,
                        created_at: column(row, "created_at")?,
                    })
                })
                .collect::<Result<_>>()?;
            Ok(UserEvents { verdict: Verdict::from_findings(&findings), findings, user_id, events })
        })
        .await
}
