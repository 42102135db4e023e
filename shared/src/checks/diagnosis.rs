//! The whole report: what a person wants to see first in an incident.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::counts::Comparison;
use super::doctor::{Checks, Examination};
use super::health::SignupHealth;
use super::next_signup::{self, AboutSignups, Asker, Evidence, Together};
use super::side_tables::{self, SideTable};
use super::{AuditLog, EmailDriftAge, UserCounts};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

/// A profile that could not be created, by its newest event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecentError {
    /// When.
    pub created_at: Timestamp,
    /// Whose.
    pub user_id: Uuid,
    /// `profile_bootstrap_error` (signup) or `profile_backfill_error` (repair).
    pub kind: String,
    /// SQLSTATE.
    pub sqlstate: Option<String>,
    /// Constraint that was broken.
    pub constraint: Option<String>,
    /// Column that was refused.
    pub column: Option<String>,
    /// Functions in which it failed, innermost first.
    pub functions: Vec<String>,
}

/// Everything that is known about the project's consistency. What could not be looked at is null.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it, the most severe first, each with its next step.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// All users against all profiles.
    pub users: Option<UserCounts>,
    /// Profiles with another e-mail than their user's; null also where profiles have no e-mail.
    pub email_mismatches: Option<i64>,
    /// Since when these differ.
    pub email_drift: Option<EmailDriftAge>,
    /// The last hour's signups.
    pub signups: Option<SignupHealth>,
    /// What the audit log tells.
    pub audit_log: Option<AuditLog>,
    /// State of the signup trigger: `in_place`, `application`, `disabled` or `missing`.
    pub signup_trigger: Option<String>,
    /// Newest errors, newest first.
    pub recent_errors: Option<Vec<RecentError>>,
    /// What has shown that signups get their profiles.
    pub evidence: Option<Evidence>,
    /// The other tables that a signup writes, and who has no row there.
    pub side_tables: Option<Vec<SideTable>>,
}

impl AboutSignups for Diagnosis {
    const IS_WHOLE: bool = true;
    const LIMIT: Duration = Duration::from_secs(120);

    async fn read(queries: &Queries<'_>, _asker: Asker, together: Together) -> Result<Self> {
        // An error ends the transaction, and the first needs no definition.
        let (examination, (drift, (audit_log, errors))) = together
            .both(
                Examination::take(queries, Checks::all(), together),
                together.both(
                    queries.row(
                        "select d.mismatches, d.oldest, d.newest from rollcall.email_drift() d",
                        &[],
                    ),
                    together.both(
                        AuditLog::read(queries),
                        queries.rows(include_str!("recent_errors.sql"), &[]),
                    ),
                ),
            )
            .await;
        let examination = examination?.without_warnings();
        let mut findings = examination.findings;
        let drift = match drift {
            Err(error @ Error::NoDefinition { .. }) => {
                return Ok(Self::without_definition(&error, findings));
            }
            drift => drift?,
        };
        let Some(comparison) = examination.comparison else {
            return Err(Comparison::missing(queries, together).await);
        };
        findings.splice(0..0, comparison.findings());
        let Comparison { users, signups, .. } = comparison;
        let email_mismatches: Option<i64> = column(&drift, "mismatches")?;
        if let Some(count @ 1..) = email_mismatches {
            findings.push(finding::email_mismatches(count));
        }
        Ok(Self {
            verdict: finding::conclude(&mut findings),
            findings,
            check_time: signups.check_time,
            users: Some(users),
            email_mismatches,
            email_drift: EmailDriftAge::read(&drift)?,
            signups: Some(signups),
            audit_log: Some(audit_log?),
            signup_trigger: Some(examination.signup_trigger),
            recent_errors: Some(errors?.iter().map(recent_error).collect::<Result<_>>()?),
            evidence: None,
            side_tables: None,
        })
    }

    fn add(&mut self, evidence: Option<Evidence>, findings: Vec<Finding>) {
        self.evidence = evidence;
        next_signup::join(&mut self.findings, findings);
        self.verdict = finding::conclude(&mut self.findings);
    }
}

impl Diagnosis {
    /// Takes the report, all of it from one view of the database.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database
            .read(Self::LIMIT, async |queries| {
                Self::read(queries, Asker::Person, Together::No).await
            })
            .await
    }

    /// Adds the other tables that a signup writes. They stay null where the role may not read them.
    ///
    /// # Errors
    /// What may pass by itself: a lost connection, the time.
    pub async fn with_side_tables(mut self, database: &mut Database) -> Result<Self> {
        let Some(evidence) = &self.evidence else {
            return Ok(self);
        };
        match side_tables::read(database, evidence).await {
            Ok(tables) => {
                self.findings.extend(side_tables::rows_missing(&tables));
                self.verdict = finding::conclude(&mut self.findings);
                self.side_tables = Some(tables);
            }
            Err(error) if error.is_connection_lost() => return Err(error),
            Err(_) => {}
        }
        Ok(self)
    }

    /// What the catalog shows is known, and whose profile is missing is not.
    fn without_definition(error: &Error, findings: Vec<Finding>) -> Self {
        let mut report = Self::unknown(error, Timestamp::now());
        report.findings.extend(findings);
        report.verdict = finding::conclude(&mut report.findings);
        report
    }

    /// The report of a check that could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            users: None,
            email_mismatches: None,
            email_drift: None,
            signups: None,
            audit_log: None,
            signup_trigger: None,
            recent_errors: None,
            evidence: None,
            side_tables: None,
        }
    }
}

fn recent_error(row: &Row) -> Result<RecentError> {
    Ok(RecentError {
        created_at: column(row, "created_at")?,
        user_id: column(row, "user_id")?,
        kind: column(row, "kind")?,
        sqlstate: column(row, "sqlstate")?,
        constraint: column(row, "constraint_name")?,
        column: column(row, "column_name")?,
        functions: column(row, "functions")?,
    })
}
