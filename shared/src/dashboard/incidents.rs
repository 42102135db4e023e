//! What people were alerted about and is not over.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::database::{Database, column};
use crate::error::Result;

const LIMIT: Duration = Duration::from_secs(5);

/// An incident that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenIncident {
    /// Its id, which its alerts carry.
    pub id: Uuid,
    /// The check that opened it: `health` or `recent`.
    pub check: String,
    /// `critical` (signups fail right now) or `alert`.
    pub severity: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When a check last saw it.
    pub seen_at: Timestamp,
    /// What was found.
    pub finding_ids: Vec<String>,
    /// Users without a profile, where they were counted.
    pub missing: Option<i64>,
    /// Alerts about it that no topic has taken yet.
    pub unsent_messages: i64,
}

/// The open incidents, newest first.
pub(super) async fn open(database: &mut Database) -> Result<Vec<OpenIncident>> {
    database
        .read(LIMIT, async |queries| {
            queries
                .rows(
                    "select i.id, i.check_name, i.severity, i.opened_at, i.seen_at, i.finding_ids, i.missing, i.unsent_messages
                     from rollcall.incidents('infinity') i",
                    &[],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(OpenIncident {
                        id: column(row, "id")?,
                        check: column(row, "check_name")?,
                        severity: column(row, "severity")?,
                        opened_at: column(row, "opened_at")?,
                        seen_at: column(row, "seen_at")?,
                        finding_ids: column(row, "finding_ids")?,
                        missing: column(row, "missing")?,
                        unsent_messages: column(row, "unsent_messages")?,
                    })
                })
                .collect()
        })
        .await
}
