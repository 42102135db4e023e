//! Missing users: those without a profile, and users of the audit log who are gone.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{AuditLog, UserCounts};
use crate::database::{Database, column};
use crate::error::Result;
use crate::finding::{self, Finding};
use crate::masked::{Email, Masked};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(120);

/// One affected user. E-mails mask themselves.
#[derive(Clone, Debug, Serialize)]
pub struct Mismatch {
    /// The user.
    pub user_id: Uuid,
    /// `auth_only` (no profile) or `audit_only` (in the audit log, no longer in `auth.users`).
    pub status: String,
    /// Address in the audit log.
    pub audit_email: Option<Masked<Email>>,
    /// Address in `auth.users`.
    pub auth_email: Option<Masked<Email>>,
    /// When the audit log first saw the signup.
    pub audit_created_at: Option<Timestamp>,
    /// When the user was created.
    pub user_created_at: Option<Timestamp>,
}

/// The affected users, or as many as were asked for.
#[derive(Clone, Debug, Serialize)]
pub struct MismatchReport {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub total: i64,
    /// State of the audit log: `on`, `stale` or `off`. Users who are gone are known from there alone.
    pub audit_log: String,
    /// The newest of them, newest first.
    pub mismatches: Vec<Mismatch>,
}

/// Lists at most `limit` affected users, newest first.
///
/// # Errors
/// What the database refuses.
pub async fn list(database: &mut Database, limit: u32) -> Result<MismatchReport> {
    let limit = i64::from(limit);
    database
        .read(LIMIT, async |queries| {
            // one row at least, for the totals
            let rows = queries
                .rows(
                    // "infinity" is a date for PostgreSQL, and none for anybody else
                    "select m.user_id, m.status, m.audit_email, m.auth_email, m.missing, m.total,
                       case when isfinite(m.audit_created_at) then m.audit_created_at end as audit_created_at,
                       case when isfinite(m.user_created_at) then m.user_created_at end as user_created_at
                     from rollcall.mismatches($1) m",
                    &[(&limit.max(1), Type::INT8)],
                )
                .await?;
            let total = |name| rows.first().map_or(Ok(0), |row| column(row, name));
            let missing: i64 = total("missing")?;
            let total: i64 = total("total")?;
            let mismatches = rows
                .iter()
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .map(|row| {
                    let email = |name| column::<Option<String>>(row, name).map(|address| address.map(Masked::new));
                    Ok(Mismatch {
                        user_id: column(row, "user_id")?,
                        status: column(row, "status")?,
                        audit_email: email("audit_email")?,
                        auth_email: email("auth_email")?,
                        audit_created_at: column(row, "audit_created_at")?,
                        user_created_at: column(row, "user_created_at")?,
                    })
                })
                .collect::<Result<_>>()?;
            let finding = if missing > 0 {
                Some(finding::missing_profiles(missing))
            } else {
                UserCounts::read(queries).await?.doubt()
            };
            let findings: Vec<Finding> = finding.into_iter().collect();
            Ok(MismatchReport { verdict: Verdict::from_findings(&findings), findings, total, audit_log: AuditLog::state(queries).await?, mismatches })
        })
        .await
}
