//! What an alert says: a pure function of a report. Ids and counts only; plain text that reads well in an e-mail.

use std::fmt::Write as _;

use textwrap::{Options, WordSplitter};

use crate::checks::health::HealthReport;
use crate::checks::recent::RecentReport;
use crate::finding::Finding;
use crate::verdict::Verdict;
use crate::wording::counted;

/// How many ids an alert lists.
const LISTED: usize = 10;

/// Longest line, in characters; mail programs show plain text as it is.
const WIDTH: usize = 72;

/// A message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// One line of ASCII, at most 100 characters, as SNS wants it.
    pub subject: String,
    /// Short lines of plain text.
    pub body: String,
}

impl Alert {
    /// The alert of the hourly check; none where all is well.
    pub fn for_health(report: &HealthReport) -> Option<Self> {
        let subject = match (report.verdict, &report.users) {
            (Verdict::Consistent, _) => return None,
            (_, None) => "Rollcall: could not check signups and profiles".to_owned(),
            (Verdict::Unknown, Some(_)) => {
                "Rollcall: not known whether the next signup gets a profile".to_owned()
            }
            (Verdict::Inconsistent, Some(users)) if users.missing > 0 => {
                format!(
                    "Rollcall: {} without a profile",
                    counted(users.missing, "user")
                )
            }
            (Verdict::Inconsistent, Some(_)) => "Rollcall: new signups get no profile".to_owned(),
        };
        let mut body = opening(report.verdict, &report.check_time);
        if let (Some(signups), Some(missing), Some(percentage)) = (
            report.recent_signups_count,
            report.signups_missing_profiles,
            report.health_percentage,
        ) {
            let _ = writeln!(
                body,
                "Last hour: {}, {missing} without a profile ({percentage:.2} % healthy).",
                counted(signups, "signup")
            );
        }
        if let Some(users) = &report.users {
            let _ = writeln!(
                body,
                "In all: {} of {} without a profile.",
                users.missing,
                counted(users.expected, "user")
            );
        }
        if let Some(state) = &report.audit_log {
            let _ = writeln!(body, "Audit log: {state}.");
        }
        append_findings(&mut body, &report.findings);
        Some(Self { subject, body })
    }

    /// The alert of the five-minute check; none where all is well.
    pub fn for_recent(report: &RecentReport) -> Option<Self> {
        let issues = report.issues.as_deref().unwrap_or_default();
        let missing: Vec<_> = issues.iter().filter(|issue| issue.has_auth_user).collect();
        let total = report
            .findings
            .iter()
            .find(|f| f.id == "recent_missing_profiles")
            .and_then(|f| f.count)
            .unwrap_or(0);
        let subject = match report.verdict {
            Verdict::Consistent => return None,
            Verdict::Unknown => "Rollcall: could not check recent signups".to_owned(),
            Verdict::Inconsistent => format!("Rollcall: {} failing now", counted(total, "signup")),
        };
        let mut body = opening(report.verdict, &report.check_time);
        if !missing.is_empty() {
            let _ = writeln!(
                body,
                "Signups of the last {} minutes without a profile: {total}",
                report.window.minutes
            );
            for issue in missing.iter().take(LISTED) {
                let _ = writeln!(
                    body,
                    "  {} ({:.1} minutes ago)",
                    issue.user_id, issue.minutes_since_signup
                );
            }
            if let more @ 1.. = total - i64::try_from(missing.len().min(LISTED)).unwrap_or(total) {
                let _ = writeln!(body, "  and {more} more: rollcall recent");
            }
        }
        append_findings(&mut body, &report.findings);
        Some(Self { subject, body })
    }
}

fn opening(verdict: Verdict, check_time: &jiff::Timestamp) -> String {
    format!("Verdict: {verdict}\nChecked: {check_time:.0}\n\n")
}

fn append_findings(body: &mut String, findings: &[Finding]) {
    for finding in findings {
        let summary = format!("{}: {}", finding.id, finding.summary);
        // a flag such as --database-url stays in one piece
        let head = Options::new(WIDTH).word_splitter(WordSplitter::NoHyphenation);
        let next_step = head.clone().initial_indent("  ").subsequent_indent("  ");
        let _ = write!(
            body,
            "\n{}\n{}\n",
            textwrap::fill(&summary, head),
            textwrap::fill(&finding.next_step, next_step)
        );
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::checks::UserCounts;
    use crate::checks::recent::{RecentIssue, Window};
    use crate::error::Error;
    use crate::finding;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn health(missing: i64, signup_trigger: &str) -> HealthReport {
        let users = UserCounts {
            total: 48,
            soft_deleted: 0,
            expected: 48,
            profiles: 48 - missing,
            healthy: 48 - missing,
            missing,
            missing_anonymous: 0,
            missing_phone: 0,
            missing_sso: 0,
            missing_unconfirmed: 0,
            orphaned: 0,
        };
        let mut findings = Vec::new();
        if missing > 0 {
            findings.push(finding::missing_profiles(missing));
        }
        findings.extend(finding::signup_trigger(signup_trigger).expect("a known state"));
        HealthReport {
            verdict: Verdict::from_findings(&findings),
            findings,
            check_time: NOW,
            recent_signups_count: Some(3),
            signups_missing_profiles: Some(missing.min(1)),
            health_percentage: Some(66.67),
            users: Some(users),
            audit_log: Some("off".to_owned()),
            signup_trigger: Some(signup_trigger.to_owned()),
            basis: None,
            ledger_doubt: None,
            last_full_proof: None,
        }
    }

    fn recent(issues: u128) -> RecentReport {
        let issue = |number| RecentIssue {
            user_id: Uuid::from_u128(number),
            action: None,
            created_at: NOW,
            minutes_since_signup: 1.25,
            has_auth_user: true,
            has_profile: false,
        };
        let count = i64::try_from(issues).expect("small");
        let findings = vec![finding::recent_missing_profiles(count, 10)];
        RecentReport {
            verdict: Verdict::from_findings(&findings),
            findings,
            check_time: NOW,
            window: Window {
                minutes: 10,
                from: NOW,
                to: NOW,
            },
            issues: Some((1..=issues).map(issue).collect()),
            basis: None,
            ledger_doubt: None,
            last_full_proof: None,
            looked_for_vanished: true,
        }
    }

    fn text(alert: Option<Alert>) -> String {
        let alert = alert.expect("an alert");
        assert!(alert.subject.is_ascii() && alert.subject.len() <= 100);
        assert!(
            alert.body.lines().all(|line| line.len() <= WIDTH),
            "{}",
            alert.body
        );
        format!("{}\n---\n{}", alert.subject, alert.body)
    }

    #[test]
    fn all_is_well_is_no_alert() {
        assert_eq!(Alert::for_health(&health(0, "in_place")), None);
        let quiet = RecentReport {
            verdict: Verdict::Consistent,
            ..recent(0)
        };
        assert_eq!(Alert::for_recent(&quiet), None);
    }

    #[test]
    fn missing_profiles_are_counted() {
        insta::assert_snapshot!(text(Alert::for_health(&health(1, "in_place"))));
    }

    #[test]
    fn a_silent_outage_is_an_alert() {
        insta::assert_snapshot!(text(Alert::for_health(&health(0, "missing"))));
    }

    #[test]
    fn a_trigger_that_is_not_ours_is_an_alert_that_says_what_is_not_known() {
        insta::assert_snapshot!(text(Alert::for_health(&health(0, "foreign"))));
    }

    #[test]
    fn blindness_is_an_alert() {
        let error = Error::Unreachable("connection refused".to_owned());
        insta::assert_snapshot!(text(Alert::for_health(&HealthReport::unknown(&error, NOW))));
        insta::assert_snapshot!(text(Alert::for_recent(&RecentReport::unknown(&error, NOW))));
    }

    #[test]
    fn ten_failing_signups_are_listed_and_the_rest_counted() {
        insta::assert_snapshot!(text(Alert::for_recent(&recent(12))));
    }
}
