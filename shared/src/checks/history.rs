//! What scheduled checks said: kept for the watermark of the recent signups and for the dashboard's history.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::Type;

use crate::database::{Database, Queries, column};
use crate::error::Result;
use crate::finding::Finding;
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(5);

/// Which scheduled check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Everyone's profile, hourly.
    Health,
    /// Recent signups, every five minutes.
    Recent,
}

impl CheckName {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Recent => "recent",
        }
    }
}

/// What is kept of one check: counts and ids of findings only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckRun {
    /// Which check.
    pub check: CheckName,
    /// The moment that its report speaks of.
    pub checked_at: Timestamp,
    /// Its conclusion.
    pub verdict: Verdict,
    /// Ids of what led to it.
    pub finding_ids: Vec<String>,
    /// Its numbers, by name.
    pub counts: Value,
}

impl CheckRun {
    pub(crate) fn new(
        check: CheckName,
        checked_at: Timestamp,
        verdict: Verdict,
        findings: &[Finding],
        counts: Value,
    ) -> Self {
        Self {
            check,
            checked_at,
            verdict,
            finding_ids: findings
                .iter()
                .map(|finding| finding.id.to_owned())
                .collect(),
            counts,
        }
    }

    /// Keeps it in the database, under the time of the server's clock.
    ///
    /// # Errors
    /// What the database refuses.
    pub async fn record(&self, database: &mut Database) -> Result<()> {
        database
            .write(LIMIT, async |queries| {
                queries.end_with(self.record_in(queries)).await
            })
            .await
    }

    /// The same in a transaction that is open.
    pub(crate) async fn record_in(&self, queries: &Queries<'_>) -> Result<()> {
        queries
            .row(
                "select rollcall.record_check($1, $2, $3, $4)",
                &[
                    (&self.check.as_str(), Type::TEXT),
                    (&self.verdict.as_str(), Type::TEXT),
                    (&self.finding_ids, Type::TEXT_ARRAY),
                    (&self.counts, Type::JSONB),
                ],
            )
            .await
            .map(drop)
    }
}

/// The checks of one name since a moment, newest first, at most 2,000.
///
/// # Errors
/// What the database refuses.
pub async fn since(
    database: &mut Database,
    check: CheckName,
    since: Timestamp,
) -> Result<Vec<CheckRun>> {
    database
        .read(LIMIT, async |queries| {
            queries
                .rows(
                    "select h.checked_at, h.verdict, h.finding_ids, h.counts from rollcall.check_history($1, $2) h",
                    &[(&check.as_str(), Type::TEXT), (&since, Type::TIMESTAMPTZ)],
                )
                .await?
                .iter()
                .map(|row| {
                    Ok(CheckRun {
                        check,
                        checked_at: column(row, "checked_at")?,
                        verdict: column::<&str>(row, "verdict")?.parse()?,
                        finding_ids: column(row, "finding_ids")?,
                        counts: column(row, "counts")?,
                    })
                })
                .collect()
        })
        .await
}
