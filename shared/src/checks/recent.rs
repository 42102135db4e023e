//! The check of every five minutes: signups of the last minutes that have no profile.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::next_signup::{self, AboutSignups, Asker, Evidence, Together};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::finding::{self, Finding};
use crate::verdict::Verdict;

/// How far back a signup is recent, at least.
pub const WINDOW_MINUTES: i32 = 10;

/// How many issues a report lists; the counts in its findings are of all.
pub const MAX_ISSUES: i64 = 500;

/// A signup that went wrong. Ids only, never an e-mail.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// The stretch of time that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecentReport {
    /// The conclusion.
    pub verdict: Verdict,
    /// What led to it, the most severe first.
    pub findings: Vec<Finding>,
    /// When it was taken, by the database's clock.
    pub check_time: Timestamp,
    /// What was looked at.
    pub window: Window,
    /// Signups of that time that must have a profile. None: could not look.
    pub signups_count: Option<i64>,
    /// Signups that went wrong, newest first, at most 500. None: could not look.
    pub issues: Option<Vec<RecentIssue>>,
    /// Whether the audit log was searched for users who signed up in the window and are gone. A scheduled check leaves
    /// that out, since the log has no index.
    pub looked_for_vanished: bool,
    /// What has shown that signups get their profiles.
    pub evidence: Option<Evidence>,
}

impl AboutSignups for RecentReport {
    const IS_WHOLE: bool = false;
    const LIMIT: Duration = Duration::from_secs(20);

    /// A person is shown the last [`WINDOW_MINUTES`], with a look into the audit log for users who vanished. A schedule looks
    /// back to where the last recorded check ended, so that what happened while it slept is seen, too; at most seven days,
    /// which the check of everyone covers.
    async fn read(queries: &Queries<'_>, asker: Asker, _together: Together) -> Result<Self> {
        let is_scheduled = matches!(asker, Asker::Schedule { .. });
        let rows = queries
            .rows(
                include_str!("recent_issues.sql"),
                &[
                    (&WINDOW_MINUTES, Type::INT4),
                    (&MAX_ISSUES, Type::INT8),
                    (&is_scheduled, Type::BOOL),
                ],
            )
            .await?;
        Self::of_rows(&rows, !is_scheduled)
    }

    fn add(&mut self, evidence: Option<Evidence>, findings: Vec<Finding>) {
        self.evidence = evidence;
        next_signup::join(&mut self.findings, findings);
        self.verdict = finding::conclude(&mut self.findings);
    }
}

impl RecentReport {
    /// Takes the check for a person. [`next_signup::take`] also says whether the next signup gets its profile.
    ///
    /// # Errors
    /// What the database refuses; [`Self::unknown`] makes a report of it.
    pub async fn take(database: &mut Database) -> Result<Self> {
        Self::take_for(database, Asker::Person).await
    }

    /// Takes the check as a schedule does.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_scheduled(database: &mut Database) -> Result<Self> {
        Self::take_for(database, Asker::Schedule { probes: false }).await
    }

    async fn take_for(database: &mut Database, asker: Asker) -> Result<Self> {
        database
            .read(Self::LIMIT, async |queries| {
                Self::read(queries, asker, Together::No).await
            })
            .await
    }

    fn of_rows(rows: &[Row], with_log: bool) -> Result<Self> {
        // the query answers with one row even where there is no issue
        let first = rows.first().ok_or(Error::UnexpectedAnswer)?;
        let check_time: Timestamp = column(first, "check_time")?;
        let minutes: i32 = column(first, "minutes")?;
        let missing: i64 = column(first, "missing")?;
        let vanished: i64 = column(first, "vanished")?;
        let signups_count = column(first, "signups")?;
        let mut issues = Vec::new();
        for row in rows {
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
            verdict: finding::conclude(&mut findings),
            findings,
            check_time,
            window: Window::until(check_time, minutes),
            signups_count: Some(signups_count),
            issues: Some(issues),
            looked_for_vanished: with_log,
            evidence: None,
        })
    }

    /// How many signups of the window are without a profile, those that are not listed included.
    pub(crate) fn missing(&self) -> i64 {
        self.findings
            .iter()
            .find(|finding| finding.id == "recent_missing_profiles")
            .and_then(|finding| finding.count)
            .unwrap_or(0)
    }

    /// The report of a check that could not look.
    pub fn unknown(error: &Error, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::Unknown,
            findings: vec![finding::check_failed(error)],
            check_time: now,
            window: Window::until(now, WINDOW_MINUTES),
            signups_count: None,
            issues: None,
            looked_for_vanished: false,
            evidence: None,
        }
    }
}
