//! What a scheduled check stands on: the full proof where that costs next to nothing, else the ledger of signups where it
//! can be trusted, else a full proof that is kept for the checks that follow.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};

/// For the full proof of a project with millions of users.
const PROOF_LIMIT: Duration = Duration::from_secs(35);

const READ_ON_LIMIT: Duration = Duration::from_secs(5);

/// What a report was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// All rows of the tables that the report is about.
    Full,
    /// The last full proof, and what the ledger of signups and one slice of all users add to it.
    Ledger,
}

/// What the ledger adds to the last full proof.
pub(super) struct LedgerReport {
    pub(super) check_time: Timestamp,
    pub(super) last_full_proof: Timestamp,
    pub(super) signups: i64,
    pub(super) signups_missing: i64,
    /// By the names of `rollcall.census()`.
    pub(super) counts: Value,
    pub(super) audit_log: String,
    pub(super) recent_missing: Vec<Uuid>,
    new_missing: Vec<Uuid>,
    slice_after: Option<Uuid>,
    running: String,
}

/// Whether the ledger can be read, and what it says.
pub(super) enum Ledger {
    /// The full proof costs next to nothing.
    NotNeeded,
    /// It cannot be trusted, for this reason.
    Doubted(String),
    /// What it says.
    Trusted(Box<LedgerReport>),
}

impl Ledger {
    pub(super) async fn read(
        queries: &Queries<'_>,
        health_minutes: i32,
        recent_minutes: i32,
    ) -> Result<Self> {
        let footing = queries
            .row(
                "select f.is_cheap, case when not f.is_cheap then rollcall.ledger_doubt() end as doubt
                 from (select rollcall.full_proof_is_cheap() as is_cheap) f",
                &[],
            )
            .await?;
        if column(&footing, "is_cheap")? {
            return Ok(Self::NotNeeded);
        }
        if let Some(doubt) = column(&footing, "doubt")? {
            return Ok(Self::Doubted(doubt));
        }
        let row = queries
            .row(
                include_str!("ledger_report.sql"),
                &[(&health_minutes, Type::INT4), (&recent_minutes, Type::INT4)],
            )
            .await?;
        if let Some(doubt) = column(&row, "doubt")? {
            return Ok(Self::Doubted(doubt));
        }
        Ok(Self::Trusted(Box::new(LedgerReport {
            check_time: column(&row, "check_time")?,
            last_full_proof: column(&row, "last_full_proof")?,
            signups: column(&row, "signups")?,
            signups_missing: column(&row, "signups_missing")?,
            counts: column(&row, "counts")?,
            audit_log: column(&row, "audit_log")?,
            recent_missing: column(&row, "recent_missing")?,
            new_missing: column(&row, "new_missing")?,
            slice_after: column(&row, "slice_after")?,
            running: column(&row, "running")?,
        })))
    }
}

impl LedgerReport {
    /// A count of the census.
    pub(super) fn count(&self, name: &str) -> Result<i64> {
        self.counts[name].as_i64().ok_or(Error::UnexpectedAnswer)
    }

    /// Keeps how far it has read, and the state of the catalog where that was found sound now. A failure costs the next check
    /// a longer look, never the report.
    pub(super) async fn read_on(&self, database: &mut Database, sound_catalog: Option<&str>) {
        let kept = database
            .write(READ_ON_LIMIT, async |queries| {
                if let Some(state) = sound_catalog {
                    queries
                        .row(
                            "select rollcall.keep_sound_catalog($1)",
                            &[(&state, Type::TEXT)],
                        )
                        .await?;
                }
                queries
                    .row(
                        "select rollcall.read_on($1, $2::pg_catalog.pg_snapshot, $3, $4)",
                        &[
                            (&self.check_time, Type::TIMESTAMPTZ),
                            (&self.running, Type::TEXT),
                            (&self.new_missing, Type::UUID_ARRAY),
                            (&self.slice_after, Type::UUID),
                        ],
                    )
                    .await
            })
            .await;
        if let Err(error) = kept {
            tracing::warn!(
                error.id = error.id(),
                "how far the ledger was read could not be kept; the next check reads as far"
            );
        }
    }
}

/// Compares all users with all profiles, and keeps the result for the checks that follow. A failure never costs the report,
/// which then reads for itself.
pub(super) async fn prove(database: &mut Database, doubt: &str) {
    tracing::info!(
        doubt,
        "the ledger of signups cannot be trusted: full proof instead"
    );
    let proved = database
        .write(PROOF_LIMIT, async |queries| {
            queries.row("select rollcall.prove()", &[]).await
        })
        .await;
    if let Err(error) = proved {
        tracing::warn!(
            error.id = error.id(),
            "the full proof could not be kept; the next check takes it again"
        );
    }
}

/// Reads the whole audit log where that is due, so that the reports that follow need not. A failure costs them that, and
/// nobody the report.
pub(super) async fn prove_audit_log(database: &mut Database) {
    // committed by itself, so that what runs into its limit is not begun again an hour later
    let proved = match claim_audit_proof(database).await {
        Ok(false) => return,
        Ok(true) => database
            .write(PROOF_LIMIT, async |queries| {
                queries.row("select rollcall.prove_audit_log()", &[]).await
            })
            .await
            .map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = proved {
        tracing::warn!(
            error.id = error.id(),
            "what is kept of the audit log could not be compared with it; reports read the log"
        );
    }
}

async fn claim_audit_proof(database: &mut Database) -> Result<bool> {
    database
        .write(READ_ON_LIMIT, async |queries| {
            column(
                &queries
                    .row("select rollcall.claim_audit_proof() as is_due", &[])
                    .await?,
                "is_due",
            )
        })
        .await
}

/// When all users were last compared with all profiles by a scheduled check.
pub(super) async fn last_full_proof(queries: &Queries<'_>) -> Result<Option<Timestamp>> {
    column(
        &queries
            .row("select rollcall.last_full_proof() as proved_at", &[])
            .await?,
        "proved_at",
    )
}
