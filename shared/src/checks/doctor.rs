//! Why profiles go missing, or will: the checks of `rollcall.doctor()`, each of which is a function of the database.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding, Severity};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(20);

/// The ids of the checks, in the order of their findings. Each has its SQL in `migrations/doctor/`, its section in
/// `docs/doctor.md` and its test in `tests/tests/doctor.rs` under the same name.
pub const CHECKS: [&str; 36] = [
    "not_all_visible",
    "profiles_cannot_be_made",
    "signup_trigger_missing",
    "signup_trigger_disabled",
    "signup_trigger_left_to_application",
    "signup_trigger_conditional",
    "signup_triggers_collide",
    "before_trigger_discards_rows",
    "signup_function_runs_as_caller",
    "signup_function_owner_lacks_rights",
    "signup_function_lacks_schema",
    "row_level_security_blocks_signup",
    "signup_function_search_path",
    "signup_function_names_unknown_object",
    "signup_function_leaves_column_empty",
    "signup_function_needs_email",
    "signup_function_casts_metadata",
    "signup_function_hides_errors",
    "unfilled_columns",
    "definition_gives_null",
    "definition_breaks_check",
    "definition_cannot_be_computed",
    "definition_repeats_unique_value",
    "profile_key_references_other_table",
    "profile_email_taken",
    "profile_key_without_cascade",
    "profile_key_without_reference",
    "users_loaded_past_trigger",
    "users_with_null_tokens",
    "anonymous_upgrade_unnoticed",
    "profiles_left_to_client",
    "migrations_incomplete",
    "rollcall_exposed",
    "auth_users_exposed",
    "signup_trigger_foreign",
    "audit_log_not_written",
];

/// What the doctor found.
#[derive(Clone, Debug, Serialize)]
pub struct DoctorReport {
    /// The conclusion: `inconsistent` where signups fail or profiles go missing.
    pub verdict: Verdict,
    /// What led to it, the worst first, each with what it means, what was seen, and what mends it.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// How many checks looked; null where none could.
    pub checks: Option<usize>,
}

impl DoctorReport {
    /// Runs every check.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database
            .read(LIMIT, async |queries| {
                let check_time = column(
                    &queries.row("select now() as check_time", &[]).await?,
                    "check_time",
                )?;
                let mut findings = findings(queries, true).await?;
                findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
                Ok(Self {
                    verdict: Verdict::from_findings(&findings),
                    findings,
                    check_time,
                    checks: Some(CHECKS.len()),
                })
            })
            .await
    }

    /// The report of a doctor who could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            checks: None,
        }
    }
}

/// What every check found, in the order of [`CHECKS`]; without users, the checks whose cost does not grow with the tables.
async fn findings(queries: &Queries<'_>, with_users: bool) -> Result<Vec<Finding>> {
    queries
        .rows(
            "select d.id, d.severity, d.summary, d.meaning, d.evidence, d.next_step, d.fix from rollcall.doctor($1) d",
            &[(&with_users, Type::BOOL)],
        )
        .await?
        .iter()
        .map(read_finding)
        .collect()
}

fn read_finding(row: &Row) -> Result<Finding> {
    let id: &str = column(row, "id")?;
    let id = CHECKS
        .into_iter()
        .find(|known| *known == id)
        .ok_or(Error::UnexpectedAnswer)?;
    let mut finding = finding::diagnosed(
        id,
        column(row, "severity")?,
        column(row, "summary")?,
        column(row, "next_step")?,
    )?;
    finding.meaning = column(row, "meaning")?;
    finding.evidence = column(row, "evidence")?;
    finding.fix = column(row, "fix")?;
    Ok(finding)
}

/// What belongs into every report: all but the warnings, which lock nobody out. Users are counted there anyway, and the
/// state of the audit log is known.
pub(super) async fn critical_findings(queries: &Queries<'_>) -> Result<Vec<Finding>> {
    catalog_findings(queries).await
}

/// What the catalog shows, but the warnings.
pub(super) async fn catalog_findings(queries: &Queries<'_>) -> Result<Vec<Finding>> {
    let mut findings = findings(queries, false).await?;
    findings.retain(|finding| finding.severity != Severity::Warning);
    Ok(findings)
}

/// The state of the signup trigger, in the words of `rollcall.signup_trigger_state()`.
pub(super) async fn signup_trigger(queries: &Queries<'_>) -> Result<String> {
    column(
        &queries
            .row("select rollcall.signup_trigger_state() as state", &[])
            .await?,
        "state",
    )
}
