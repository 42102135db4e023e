//! The reports that a schedule takes: what is kept of each, and what it means for alerts.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::alert::CheckResult;
use crate::alert::notification::LISTED;
use crate::alert::summary::Summary;
use crate::checks::health::HealthReport;
use crate::checks::history::{CheckName, CheckRun};
use crate::checks::next_signup::AboutSignups;
use crate::checks::recent::RecentReport;
use crate::error::Error;
use crate::finding::Finding;

/// A report that a schedule takes.
pub trait ScheduledReport: AboutSignups + Serialize {
    /// The report of a check that could not look.
    fn unknown(error: &Error, now: Timestamp) -> Self;
    /// What led to its verdict.
    fn findings(&self) -> &[Finding];
    /// What is kept of it.
    fn to_check_run(&self) -> CheckRun;
    /// What it means for alerts.
    fn to_result(&self) -> CheckResult;
}

impl ScheduledReport for HealthReport {
    fn unknown(error: &Error, now: Timestamp) -> Self {
        Self::unknown(error, now)
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn to_check_run(&self) -> CheckRun {
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
                "evidence": self.evidence,
            }),
        )
    }

    fn to_result(&self) -> CheckResult {
        let users = self.users.as_ref();
        CheckResult {
            missing: users.map(|users| users.missing),
            of: users.map(|users| users.expected),
            at: users.map(|_| self.check_time),
            user_ids: users
                .map(|users| users.newest_missing.clone())
                .unwrap_or_default(),
            ..CheckResult::new(
                CheckName::Health,
                self.verdict,
                &self.findings,
                "missing_profiles",
                Summary::of_health(self),
            )
        }
    }
}

impl ScheduledReport for RecentReport {
    fn unknown(error: &Error, now: Timestamp) -> Self {
        Self::unknown(error, now)
    }

    fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn to_check_run(&self) -> CheckRun {
        CheckRun::new(
            CheckName::Recent,
            self.check_time,
            self.verdict,
            &self.findings,
            json!({
                "window_minutes": self.window.minutes,
                "missing": self.missing(),
                "evidence": self.evidence,
            }),
        )
    }

    fn to_result(&self) -> CheckResult {
        let missing = self
            .issues
            .iter()
            .flatten()
            .filter(|issue| issue.has_auth_user);
        CheckResult {
            missing: self.issues.as_ref().map(|_| self.missing()),
            of: self.signups_count,
            at: self.issues.as_ref().map(|_| self.check_time),
            user_ids: missing.map(|issue| issue.user_id).take(LISTED).collect(),
            ..CheckResult::new(
                CheckName::Recent,
                self.verdict,
                &self.findings,
                "recent_missing_profiles",
                Summary::of_recent(self),
            )
        }
    }
}
