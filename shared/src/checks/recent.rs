//! The check of every five minutes: signups of the last minutes that have no profile.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::AuditLog;
use super::history::{CheckName, CheckRun};
use super::ledger::{self, Basis, Ledger, LedgerReport};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(20);

/// How far back a signup is recent, at least.
pub const WINDOW_MINUTES: i32 = 10;

/// How many issues a report lists; the counts in its findings are of all.
pub const MAX_ISSUES: i64 = 500;

/// A signup that went wrong. Ids only, never an e-mail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecentIssue {
    /// The user.
    pub user_id: Uuid,
    /// What the audit log calls the signup, where it knows it.
    pub action: Option<String>,
    /// When the user signed up.
    pub created_at: Timestamp,
    /// Minutes since then, two decimals.
    pub minutes_since_signup: f64,
    /// Whether the user is in `auth.users`.
    pub has_auth_user: bool,
    /// Whether the user has a profile.
    pub has_profile: bool,
}

impl RecentIssue {
    /// Of a query that looks at users only.
    fn without_profile(row: &Row) -> Result<Self> {
        Ok(Self {
            user_id: column(row, "user_id")?,
            action: None,
            created_at: column(row, "created_at")?,
            minutes_since_signup: column(row, "minutes_since_signup")?,
            has_auth_user: true,
            has_profile: false,
        })
    }
}

/// The stretch of time that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Its length.
    pub minutes: i32,
    /// Its beginning; signups after this count.
    pub from: Timestamp,
    /// Its end, the moment of the check.
    pub to: Timestamp,
}

impl Window {
    fn until(to: Timestamp, minutes: i32) -> Self {
        let length = jiff::SignedDuration::from_mins(i64::from(minutes));
        Self {
            minutes,
            from: to.saturating_sub(length).unwrap_or(to),
            to,
        }
    }
}

/// The verdict on recent signups.
#[derive(Clone, Debug, Serialize)]
pub struct RecentReport {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// What was looked at.
    pub window: Window,
    /// State of the audit log: `on`, `stale` or `off`. Only one that is on knows of users who vanished.
    pub audit_log: Option<String>,
    /// Signups of that time that must have a profile. None: could not look, or the ledger does not count so far back.
    pub signups_count: Option<i64>,
    /// Signups that went wrong, newest first, at most [`MAX_ISSUES`]. None: could not look.
    pub issues: Option<Vec<RecentIssue>>,
    /// What it was read from.
    pub basis: Option<Basis>,
    /// Why the ledger was not trusted, in a word, where there is reason to read it: in scheduled checks of many users.
    pub ledger_doubt: Option<String>,
    /// When all users were last compared with all profiles.
    pub last_full_proof: Option<Timestamp>,
    /// Whether the audit log was searched for users who signed up in the window and are gone. A scheduled check of many
    /// users leaves it out, since the log has no index.
    pub looked_for_vanished: bool,
}

async fn signups(queries: &Queries<'_>, minutes: i32) -> Result<i64> {
    column(
        &queries
            .row(
                "select h.signups from rollcall.recent_health(make_interval(mins => $1)) h",
                &[(&minutes, Type::INT4)],
            )
            .await?,
        "signups",
    )
}

/// How far back a check of recent signups looks.
#[derive(Clone, Copy)]
enum Lookback {
    Minutes,
    SinceLastCheck,
}

impl Lookback {
    async fn minutes(self, queries: &Queries<'_>) -> Result<i32> {
        match self {
            Self::Minutes => Ok(WINDOW_MINUTES),
            Self::SinceLastCheck => column(
                &queries
                    .row(
                        "select ceil(extract(epoch from rollcall.recent_window(make_interval(mins => $1))) / 60)::int4 as minutes",
                        &[(&WINDOW_MINUTES, Type::INT4)],
                    )
                    .await?,
                "minutes",
            ),
        }
    }
}

impl RecentReport {
    /// Takes the check of the last [`WINDOW_MINUTES`].
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        Self::look(database, Lookback::Minutes).await
    }

    /// Takes the check of at least [`WINDOW_MINUTES`], and back to where the last recorded one ended: what happened
    /// while the schedule slept is seen, too. At most seven days, which the check of everyone covers.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_since_last(database: &mut Database) -> Result<Self> {
        Self::look(database, Lookback::SinceLastCheck).await
    }

    /// Takes the check as a schedule does, as far back as [`Self::take_since_last`], at a cost that does not grow with the
    /// project: by the ledger of signups where there are many users and it can be trusted.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_scheduled(database: &mut Database) -> Result<Self> {
        let (by_ledger, is_needed, doubt) = database
            .read(LIMIT, async |queries| {
                let minutes = Lookback::SinceLastCheck.minutes(queries).await?;
                match Ledger::read(queries, WINDOW_MINUTES, minutes).await? {
                    Ledger::NotNeeded => Ok((None, false, None)),
                    Ledger::Doubted(doubt) => Ok((None, true, Some(doubt))),
                    Ledger::Trusted(ledger) => {
                        let report = Self::by_ledger(queries, &ledger, minutes).await?;
                        Ok((Some((report, ledger)), true, None))
                    }
                }
            })
            .await?;
        if let Some((report, ledger)) = by_ledger {
            ledger.read_on(database, None).await;
            return Ok(report);
        }
        if let Some(doubt) = &doubt {
            ledger::prove(database, doubt).await;
        }
        let report = if is_needed {
            database.read(LIMIT, Self::read_users).await?
        } else {
            Self::take_since_last(database).await?
        };
        Ok(Self {
            ledger_doubt: doubt,
            ..report
        })
    }

    async fn by_ledger(queries: &Queries<'_>, ledger: &LedgerReport, minutes: i32) -> Result<Self> {
        let missing = i64::try_from(ledger.recent_missing.len()).unwrap_or(i64::MAX);
        let issues = if missing == 0 {
            Vec::new()
        } else {
            queries
                .rows(
                    include_str!("recent_by_ledger.sql"),
                    &[
                        (&ledger.recent_missing, Type::UUID_ARRAY),
                        (&MAX_ISSUES, Type::INT8),
                    ],
                )
                .await?
                .iter()
                .map(RecentIssue::without_profile)
                .collect::<Result<_>>()?
        };
        Ok(Self {
            basis: Some(Basis::Ledger),
            last_full_proof: Some(ledger.last_full_proof),
            audit_log: Some(ledger.audit_log.clone()),
            signups_count: (minutes == WINDOW_MINUTES).then_some(ledger.signups),
            ..Self::without_log(ledger.check_time, minutes, missing, issues)
        })
    }

    /// All of `auth.users`, and of the audit log its state alone.
    async fn read_users(queries: &Queries<'_>) -> Result<Self> {
        let minutes = Lookback::SinceLastCheck.minutes(queries).await?;
        let rows = queries
            .rows(
                include_str!("recent_gap.sql"),
                &[(&minutes, Type::INT4), (&MAX_ISSUES, Type::INT8)],
            )
            .await?;
        // the query answers with one row even where there is no issue
        let first = rows.first().ok_or(Error::UnexpectedAnswer)?;
        let missing: i64 = column(first, "missing")?;
        let issues = rows
            .iter()
            .take(if missing == 0 { 0 } else { rows.len() })
            .map(RecentIssue::without_profile)
            .collect::<Result<_>>()?;
        Ok(Self {
            basis: Some(Basis::Full),
            last_full_proof: ledger::last_full_proof(queries).await?,
            audit_log: Some(AuditLog::state(queries).await?),
            signups_count: Some(signups(queries, minutes).await?),
            ..Self::without_log(column(first, "check_time")?, minutes, missing, issues)
        })
    }

    fn without_log(
        check_time: Timestamp,
        minutes: i32,
        missing: i64,
        issues: Vec<RecentIssue>,
    ) -> Self {
        let mut findings = Vec::new();
        if missing > 0 {
            findings.push(finding::recent_missing_profiles(missing, minutes.into()));
        }
        findings.push(finding::vanished_users_not_looked_for());
        Self {
            verdict: Verdict::from_findings(&findings),
            findings,
            check_time,
            window: Window::until(check_time, minutes),
            audit_log: None,
            signups_count: None,
            issues: Some(issues),
            basis: None,
            ledger_doubt: None,
            last_full_proof: None,
            looked_for_vanished: false,
        }
    }

    async fn look(database: &mut Database, lookback: Lookback) -> Result<Self> {
        database
            .read(LIMIT, async |queries| {
                let minutes = lookback.minutes(queries).await?;
                let rows = queries
                    .rows(
                        include_str!("recent_issues.sql"),
                        &[(&minutes, Type::INT4), (&MAX_ISSUES, Type::INT8)],
                    )
                    .await?;
                // the query answers with one row even where there is no issue
                let first = rows.first().ok_or(Error::UnexpectedAnswer)?;
                let check_time: Timestamp = column(first, "check_time")?;
                let missing: i64 = column(first, "missing")?;
                let vanished: i64 = column(first, "vanished")?;
                let signups_count = signups(queries, minutes).await?;
                let mut issues = Vec::new();
                for row in &rows {
                    let Some(user_id) = column::<Option<Uuid>>(row, "user_id")? else {
                        continue;
                    };
                    issues.push(RecentIssue {
                        user_id,
                        action: column(row, "action")?,
                        created_at: column(row, "created_at")?,
                        minutes_since_signup: column(row, "minutes_since_signup")?,
                        has_auth_user: column(row, "has_auth_user")?,
                        has_profile: column(row, "has_profile")?,
                    });
                }

                let mut findings = Vec::new();
                if missing > 0 {
                    findings.push(finding::recent_missing_profiles(missing, minutes.into()));
                }
                if vanished > 0 {
                    findings.push(finding::vanished_users(vanished, minutes.into()));
                }
                Ok(Self {
                    verdict: Verdict::from_findings(&findings),
                    findings,
                    check_time,
                    window: Window::until(check_time, minutes),
                    audit_log: Some(AuditLog::state(queries).await?),
                    signups_count: Some(signups_count),
                    issues: Some(issues),
                    basis: Some(Basis::Full),
                    ledger_doubt: None,
                    last_full_proof: ledger::last_full_proof(queries).await?,
                    looked_for_vanished: true,
                })
            })
            .await
    }

    /// What is kept of it.
    pub fn to_check_run(&self) -> CheckRun {
        let count = |id| {
            self.findings
                .iter()
                .find(|finding| finding.id == id)
                .and_then(|finding| finding.count)
        };
        CheckRun::new(
            CheckName::Recent,
            self.check_time,
            self.verdict,
            &self.findings,
            json!({
                "window_minutes": self.window.minutes,
                "missing": count("recent_missing_profiles").unwrap_or(0),
                "vanished": self.looked_for_vanished.then(|| count("vanished_users").unwrap_or(0)),
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
            window: Window::until(now, WINDOW_MINUTES),
            audit_log: None,
            signups_count: None,
            issues: None,
            basis: None,
            ledger_doubt: None,
            last_full_proof: None,
            looked_for_vanished: false,
        }
    }
}
