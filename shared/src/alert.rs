//! What an alert says: a pure function of a report. Ids and counts only; plain text that reads well in an e-mail.

use std::fmt::Write as _;

use crate::checks::health::HealthReport;
use crate::checks::recent::RecentReport;
use crate::finding::Finding;
use crate::verdict::Verdict;

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
            (Verdict::Unknown, _) | (_, None) => {
                "Rollcall: could not check signups and profiles".to_owned()
            }
            (Verdict::Inconsistent, Some(users)) if users.missing > 0 => {
                format!(
                    "Rollcall: {} without a profile",
                    count(users.missing, "user", "users")
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
                count(signups, "signup", "signups")
            );
        }
        if let Some(users) = &report.users {
            let _ = writeln!(
                body,
                "In all: {} of {} without a profile.",
                users.missing,
                count(users.expected, "user", "users")
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
            Verdict::Inconsistent => format!(
                "Rollcall: {} failing now",
                count(total, "signup is", "signups are")
            ),
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
        let next_step = textwrap::Options::new(WIDTH)
            .initial_indent("  ")
            .subsequent_indent("  ");
        let _ = write!(
            body,
            "\n{}\n{}\n",
            textwrap::fill(&summary, WIDTH),
            textwrap::fill(&finding.next_step, next_step)
        );
    }
}

fn count(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
