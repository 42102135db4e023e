//! The hourly check: is everyone's profile there, and do signups get theirs?

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::history::{CheckName, CheckRun};
use super::ledger::{self, Basis, Ledger, LedgerReport};
use super::probe::ProbeReport;
use super::{AuditLog, UserCounts, doctor};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(40);

const WINDOW_MINUTES: i32 = 60;

/// The verdict on the whole project. What could not be looked at is null.
#[derive(Clone, Debug, Serialize)]
pub struct HealthReport {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it.
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
    /// State of the audit log: `on`, `stale` or `off`.
    pub audit_log: Option<String>,
    /// State of the signup trigger: `in_place`, `left_to_application`, `disabled`, `foreign` or `missing`.
    pub signup_trigger: Option<String>,
    /// What it was read from. By the ledger, all counts but the missing are those of the last full proof.
    pub basis: Option<Basis>,
    /// Why the ledger was not trusted, in a word, where there is reason to read it: in scheduled checks of many users.
    pub ledger_doubt: Option<String>,
    /// When all users were last compared with all profiles.
    pub last_full_proof: Option<Timestamp>,
}

/// Signups of the last hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    pub(super) async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries.row(include_str!("signup_health.sql"), &[]).await?;
        Ok(Self {
            check_time: column(&row, "check_time")?,
            recent_signups_count: column(&row, "recent_signups_count")?,
            signups_missing_profiles: column(&row, "signups_missing_profiles")?,
            health_percentage: column(&row, "health_percentage")?,
        })
    }

    fn by_ledger(ledger: &LedgerReport) -> Self {
        let (signups, missing) = (ledger.signups, ledger.signups_missing);
        Self {
            check_time: ledger.check_time,
            recent_signups_count: signups,
            signups_missing_profiles: missing,
            health_percentage: share(signups, missing),
        }
    }
}

/// As `public.monitor_signup_health()` has it: 100.00 says that nobody is missing.
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
    /// Takes the check from all rows, as a person wants it who asks.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        database.read(LIMIT, Self::read_everything).await
    }

    /// Takes the check as a schedule does, at a cost that does not grow with the project: by the ledger of signups where
    /// there are many users and it can be trusted, else as [`Self::take`].
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_scheduled(database: &mut Database) -> Result<Self> {
        let (by_ledger, doubt) = database
            .read(LIMIT, async |queries| {
                match Ledger::read(queries, WINDOW_MINUTES, WINDOW_MINUTES).await? {
                    Ledger::NotNeeded => Ok((None, None)),
                    Ledger::Doubted(doubt) => Ok((None, Some(doubt))),
                    Ledger::Trusted(ledger) => {
                        let (report, catalog) = Self::by_ledger(queries, &ledger).await?;
                        Ok((Some((report, ledger, catalog)), None))
                    }
                }
            })
            .await?;
        if let Some((report, ledger, sound_catalog)) = by_ledger {
            ledger.read_on(database, sound_catalog.as_deref()).await;
            ledger::prove_audit_log(database).await;
            return Ok(report);
        }
        if let Some(doubt) = &doubt {
            ledger::prove(database, doubt).await;
        }
        let report = Self::take(database).await?;
        Ok(Self {
            ledger_doubt: doubt,
            ..report
        })
    }

    async fn read_everything(queries: &Queries<'_>) -> Result<Self> {
        let signups = SignupHealth::read(queries).await?;
        let users = UserCounts::read(queries).await?;
        let audit_log = AuditLog::state(queries).await?;
        let grave = doctor::grave_findings(queries, &audit_log).await?;
        Self::conclude(queries, signups, users, audit_log, grave)
            .await
            .map(|report| Self {
                basis: Some(Basis::Full),
                last_full_proof: Some(report.check_time),
                ..report
            })
    }

    /// Second: the state of the catalog, where it was found sound now.
    async fn by_ledger(
        queries: &Queries<'_>,
        ledger: &LedgerReport,
    ) -> Result<(Self, Option<String>)> {
        let signups = SignupHealth::by_ledger(ledger);
        let users = UserCounts::by_ledger(ledger)?;
        let (grave, sound_catalog) =
            doctor::grave_findings_since(queries, &ledger.audit_log).await?;
        let report =
            Self::conclude(queries, signups, users, ledger.audit_log.clone(), grave).await?;
        let report = Self {
            basis: Some(Basis::Ledger),
            last_full_proof: Some(ledger.last_full_proof),
            ..report
        };
        Ok((report, sound_catalog))
    }

    /// `grave`: what the doctor found. A trigger that raises an error leaves no row to count.
    async fn conclude(
        queries: &Queries<'_>,
        signups: SignupHealth,
        users: UserCounts,
        audit_log: String,
        grave: Vec<Finding>,
    ) -> Result<Self> {
        let signup_trigger = doctor::signup_trigger(queries).await?;
        let mut findings = users.findings();
        findings.extend(grave);
        Ok(Self {
            verdict: Verdict::from_findings(&findings),
            findings,
            check_time: signups.check_time,
            recent_signups_count: Some(signups.recent_signups_count),
            signups_missing_profiles: Some(signups.signups_missing_profiles),
            health_percentage: Some(signups.health_percentage),
            users: Some(users),
            audit_log: Some(audit_log),
            signup_trigger: Some(signup_trigger),
            basis: None,
            ledger_doubt: None,
            last_full_proof: None,
        })
    }

    /// The same report with what a probe found beside it. Whether the probe could look is part of that.
    #[must_use]
    pub fn with_probe(mut self, probe: Result<ProbeReport>) -> Self {
        let probe = probe.unwrap_or_else(|error| ProbeReport::unknown(&error, self.check_time));
        for finding in probe.findings {
            if self.findings.iter().all(|known| known.id != finding.id) {
                self.findings.push(finding);
            }
        }
        self.verdict = Verdict::from_findings(&self.findings);
        self
    }

    /// What is kept of it.
    pub fn to_check_run(&self) -> CheckRun {
        CheckRun::new(
            CheckName::Health,
            self.check_time,
            self.verdict,
            &self.findings,
            json!({
                "recent_signups_count": self.recent_signups_count,
                "signups_missing_profiles": self.signups_missing_profiles,
                "health_percentage": self.health_percentage,
                "expected": self.users.as_ref().map(|users| users.expected),
                "missing": self.users.as_ref().map(|users| users.missing),
                "basis": self.basis,
            }),
        )
    }

    /// The report of a check that could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::blind(error)],
            check_time: now,
            recent_signups_count: None,
            signups_missing_profiles: None,
            health_percentage: None,
            users: None,
            audit_log: None,
            signup_trigger: None,
            basis: None,
            ledger_doubt: None,
            last_full_proof: None,
        }
    }
}
