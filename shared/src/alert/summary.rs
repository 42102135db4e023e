//! A report in words: ids and counts only, the cause first.

use jiff::Timestamp;

use super::notification::{LISTED, NotifiedFinding};
use crate::checks::doctor;
use crate::checks::health::HealthReport;
use crate::checks::recent::RecentReport;
use crate::finding::{Finding, Severity};
use crate::verdict::Verdict;
use crate::wording::counted;

/// What a report says, in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// The case in a few words.
    pub headline: String,
    /// The moment that it speaks of.
    pub checked_at: Timestamp,
    /// The numbers, a sentence each.
    pub facts: Vec<String>,
    /// Some of the users concerned.
    pub users: Vec<String>,
    /// Where the others are, if there are more.
    pub more_users: Option<String>,
    /// Why, as far as the checks of the doctor know.
    pub causes: Vec<NotifiedFinding>,
    /// What else was found.
    pub findings: Vec<NotifiedFinding>,
}

impl Summary {
    /// The hourly check.
    pub fn of_health(report: &HealthReport) -> Self {
        let headline = match (report.verdict, &report.users) {
            (Verdict::Consistent, _) => "every user has a profile".to_owned(),
            (_, None) => "could not check signups and profiles".to_owned(),
            (Verdict::Unknown, Some(_)) => NEXT_SIGNUP_NOT_KNOWN.to_owned(),
            (Verdict::Inconsistent, Some(users)) if users.missing > 0 => {
                format!("{} without a profile", counted(users.missing, "user"))
            }
            (Verdict::Inconsistent, Some(_)) => NEXT_SIGNUP_FAILS.to_owned(),
        };
        let mut summary = Self::new(headline, report.check_time, &report.findings);
        if let (Some(signups), Some(missing), Some(percentage)) = (
            report.recent_signups_count,
            report.signups_missing_profiles,
            report.health_percentage,
        ) {
            summary.facts.push(format!(
                "Last hour: {}, {missing} without a profile ({percentage:.2} % healthy).",
                counted(signups, "signup")
            ));
        }
        if let Some(users) = &report.users {
            summary.facts.push(format!(
                "In all: {} of {} without a profile.",
                users.missing,
                counted(users.expected, "user")
            ));
            let ids = users.newest_missing.iter().map(ToString::to_string);
            summary.list(ids, users.missing, "rollcall mismatches");
        }
        summary
    }

    /// The check of recent signups.
    pub fn of_recent(report: &RecentReport) -> Self {
        let total = report.missing();
        let headline = match report.verdict {
            Verdict::Consistent => "recent signups have their profiles".to_owned(),
            Verdict::Unknown if report.issues.is_none() => {
                "could not check recent signups".to_owned()
            }
            Verdict::Unknown => NEXT_SIGNUP_NOT_KNOWN.to_owned(),
            Verdict::Inconsistent if total > 0 => {
                format!("{} failing now", counted(total, "signup"))
            }
            Verdict::Inconsistent => NEXT_SIGNUP_FAILS.to_owned(),
        };
        let mut summary = Self::new(headline, report.check_time, &report.findings);
        if let Some(issues) = &report.issues {
            summary.facts.push(format!(
                "Last {} minutes: {total} {} without a profile.",
                report.window.minutes,
                if total == 1 { "signup" } else { "signups" }
            ));
            let missing = issues.iter().filter(|issue| issue.has_auth_user);
            let users = missing.map(|issue| {
                let age = issue.minutes_since_signup;
                format!("{} ({age:.1} minutes ago)", issue.user_id)
            });
            summary.list(users, total, "rollcall recent");
        }
        summary
    }

    fn new(headline: String, checked_at: Timestamp, findings: &[Finding]) -> Self {
        // what there is nothing to do about is no part of an alert
        let (causes, others): (Vec<_>, Vec<_>) = findings
            .iter()
            .filter(|finding| finding.severity != Severity::Info)
            .partition(|finding| is_cause(finding));
        let mut summary = Self {
            headline,
            checked_at,
            findings: others.into_iter().map(NotifiedFinding::from).collect(),
            ..Self::default()
        };
        summary.add_causes(causes);
        summary
    }

    /// Adds those of the doctor's findings that say why a signup fails.
    pub(super) fn add_causes<'a>(&mut self, findings: impl IntoIterator<Item = &'a Finding>) {
        for cause in findings.into_iter().filter(|finding| is_cause(finding)) {
            let is_known = self.causes.iter().any(|known| known.id == cause.id);
            // a probe may have asked the doctor already
            self.findings.retain(|finding| finding.id != cause.id);
            if !is_known {
                self.causes.push(cause.into());
            }
        }
        if !self.causes.is_empty() {
            for finding in &mut self.findings {
                finding.next_step = without_search(&finding.next_step);
            }
        }
    }

    /// Says that `count` of the users whom an earlier message named still have no profile, though the check looks at
    /// them no longer.
    pub(super) fn remember(&mut self, count: i64) {
        self.headline = format!("{} still without a profile", counted(count, "signup"));
        self.findings.push(NotifiedFinding {
            id: "recent_missing_profiles".to_owned(),
            summary: format!(
                "{} of earlier messages still without a profile",
                counted(count, "user")
            ),
            meaning: None,
            evidence: Vec::new(),
            next_step: "See who: rollcall mismatches. Repair: rollcall backfill --apply."
                .to_owned(),
            fix: None,
        });
    }

    fn list(&mut self, users: impl Iterator<Item = String>, total: i64, command: &str) {
        self.users = users.take(LISTED).collect();
        let listed = i64::try_from(self.users.len()).unwrap_or(total);
        if let more @ 1.. = total - listed {
            self.more_users = Some(format!("and {more} more: {command}"));
        }
    }
}

const NEXT_SIGNUP_FAILS: &str = "new signups get no profile";
const NEXT_SIGNUP_NOT_KNOWN: &str = "not known whether the next signup gets a profile";

/// Whether it is one of the doctor's, and says that signups fail.
fn is_cause(finding: &Finding) -> bool {
    finding.verdict() == Verdict::Inconsistent && doctor::check_ids().any(|id| id == finding.id)
}

/// A next step without the sentence that sends people to look for the cause.
fn without_search(next_step: &str) -> String {
    let sentences: Vec<&str> = next_step
        .split_inclusive(". ")
        .filter(|sentence| !sentence.starts_with("Find the cause: "))
        .collect();
    sentences.concat().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn nobody_is_sent_to_look_for_what_is_known() {
        assert_eq!(
            without_search(
                "Signups fail. Find the cause: rollcall doctor. Then repair: rollcall backfill --apply."
            ),
            "Signups fail. Then repair: rollcall backfill --apply."
        );
        assert_eq!(without_search("Find the cause: rollcall doctor."), "");
    }

    #[test]
    fn recent_signups_that_failed_are_told_from_the_next_one_that_would() {
        let mut report = RecentReport::unknown(&Error::Timeout, Timestamp::UNIX_EPOCH);
        let headline = |report: &RecentReport| Summary::of_recent(report).headline;
        assert_eq!(headline(&report), "could not check recent signups");
        report.issues = Some(Vec::new());
        assert_eq!(headline(&report), NEXT_SIGNUP_NOT_KNOWN);
        report.verdict = Verdict::Inconsistent;
        assert_eq!(headline(&report), NEXT_SIGNUP_FAILS);
    }
}
