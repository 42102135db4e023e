//! The hourly check: is everyone's profile there, and do signups get theirs?

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use super::UserCounts;
use super::counts::Comparison;
use super::doctor::{Checks, Examination};
use super::next_signup::{self, AboutSignups, Asker, Evidence, Together};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

/// The verdict on the whole project. What could not be looked at is null.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthReport {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it, the most severe first.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// Signups of the last hour that must have a profile.
    pub recent_signups_count: Option<i64>,
    /// How many of these have none.
    pub signups_missing_profiles: Option<i64>,
    /// Share of the last hour's signups with a profile, in percent, two decimals; 100 where nobody signed up.
    pub health_percentage: Option<f64>,
    /// All users against all profiles.
    pub users: Option<UserCounts>,
    /// State of the signup trigger: `in_place`, `application`, `disabled` or `missing`.
    pub signup_trigger: Option<String>,
    /// What has shown that signups get their profiles.
    pub evidence: Option<Evidence>,
}

impl AboutSignups for HealthReport {
    const IS_WHOLE: bool = true;
    const LIMIT: Duration = Duration::from_secs(40);

    async fn read(queries: &Queries<'_>, _asker: Asker, together: Together) -> Result<Self> {
        // A trigger that raises an error leaves no row to count. An error here ends the transaction; this needs no definition.
        let (examination, definition) = together
            .both(
                Examination::take(queries, Checks::scheduled(), together),
                Comparison::require_definition(queries),
            )
            .await;
        let examination = examination?.without_warnings();
        let signup_trigger = examination.signup_trigger;
        let critical = examination.findings;
        match definition {
            Err(error @ Error::NoDefinition { .. }) => {
                let mut report = Self::unknown(&error, Timestamp::now());
                report.signup_trigger = Some(signup_trigger);
                report.findings.extend(critical);
                report.verdict = finding::conclude(&mut report.findings);
                return Ok(report);
            }
            definition => definition?,
        }
        let Some(comparison) = examination.comparison else {
            return Err(Comparison::missing(queries, together).await);
        };
        let mut findings = comparison.findings();
        let Comparison { users, signups, .. } = comparison;
        findings.extend(critical);
        Ok(Self {
            verdict: finding::conclude(&mut findings),
            findings,
            check_time: signups.check_time,
            recent_signups_count: Some(signups.recent_signups_count),
            signups_missing_profiles: Some(signups.signups_missing_profiles),
            health_percentage: Some(signups.health_percentage),
            users: Some(users),
            signup_trigger: Some(signup_trigger),
            evidence: None,
        })
    }

    fn add(&mut self, evidence: Option<Evidence>, findings: Vec<Finding>) {
        self.evidence = evidence;
        next_signup::join(&mut self.findings, findings);
        self.verdict = finding::conclude(&mut self.findings);
    }
}

/// Signups of the last hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignupHealth {
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// Signups that must have a profile.
    pub recent_signups_count: i64,
    /// How many of these have none.
    pub signups_missing_profiles: i64,
    /// Share of signups with a profile, in percent, two decimals; 100 where nobody signed up.
    pub health_percentage: f64,
}

impl SignupHealth {
    /// As the doctor's facts have it.
    pub(super) fn of_facts(facts: &Row) -> Result<Self> {
        let signups = column(facts, "of_last_hour")?;
        let missing = column(facts, "missing_of_last_hour")?;
        Ok(Self {
            check_time: column(facts, "check_time")?,
            recent_signups_count: signups,
            signups_missing_profiles: missing,
            health_percentage: share(signups, missing),
        })
    }
}

/// In percent; 100.00 says that nobody is missing.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share in percent, of counts far below 2^52"
)]
fn share(signups: i64, missing: i64) -> f64 {
    if missing == 0 {
        return 100.0;
    }
    let share = 100.0 * (signups - missing) as f64 / signups as f64;
    ((share * 100.0).round() / 100.0).min(99.99)
}

impl HealthReport {
    /// Takes the check: compares all users with all profiles, and looks at the catalog. [`next_signup::take`] also says
    /// whether the next signup gets its profile.
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

    /// The report of a check that could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            recent_signups_count: None,
            signups_missing_profiles: None,
            health_percentage: None,
            users: None,
            signup_trigger: None,
            evidence: None,
        }
    }
}
