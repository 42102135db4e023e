//! A report in words. Ids and counts only; short lines of plain text that read well in an e-mail.

use std::fmt::Write as _;

use textwrap::{Options, WordSplitter};

use super::incident::LISTED;
use crate::checks::health::HealthReport;
use crate::checks::recent::RecentReport;
use crate::finding::{Finding, Severity};
use crate::verdict::Verdict;
use crate::wording::counted;

/// Longest line, in characters; mail programs show plain text as it is.
pub(super) const WIDTH: usize = 72;

/// What a report says, in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Digest {
    /// The case in a few words, for a subject; what follows the product's name.
    pub headline: String,
    /// Verdict and time.
    pub opening: String,
    /// The numbers.
    pub facts: String,
    /// Some of the users concerned.
    pub listing: String,
    /// The findings, each with its next step.
    pub findings: String,
    /// The next steps alone.
    pub next_steps: Vec<String>,
}

impl Digest {
    /// The hourly check.
    pub fn of_health(report: &HealthReport) -> Self {
        let headline = match (report.verdict, &report.users) {
            (Verdict::Consistent, _) => "every user has a profile".to_owned(),
            (_, None) => "could not check signups and profiles".to_owned(),
            (Verdict::Unknown, Some(_)) => {
                "not known whether the next signup gets a profile".to_owned()
            }
            (Verdict::Inconsistent, Some(users)) if users.missing > 0 => {
                format!("{} without a profile", counted(users.missing, "user"))
            }
            (Verdict::Inconsistent, Some(_)) => "new signups get no profile".to_owned(),
        };
        let mut facts = String::new();
        let mut listing = String::new();
        if let (Some(signups), Some(missing), Some(percentage)) = (
            report.recent_signups_count,
            report.signups_missing_profiles,
            report.health_percentage,
        ) {
            let _ = writeln!(
                facts,
                "Last hour: {}, {missing} without a profile ({percentage:.2} % healthy).",
                counted(signups, "signup")
            );
        }
        if let Some(users) = &report.users {
            let _ = writeln!(
                facts,
                "In all: {} of {} without a profile.",
                users.missing,
                counted(users.expected, "user")
            );
            if !users.newest_missing.is_empty() {
                listing.push_str("Without a profile:\n");
                for user_id in &users.newest_missing {
                    let _ = writeln!(listing, "  {user_id}");
                }
                let listed = users.newest_missing.len();
                append_rest(&mut listing, users.missing, listed, "rollcall mismatches");
            }
        }
        Self {
            headline,
            facts,
            listing,
            ..Self::new(report.verdict, report.check_time, &report.findings)
        }
    }

    /// The check of recent signups.
    pub fn of_recent(report: &RecentReport) -> Self {
        let issues = report.issues.as_deref().unwrap_or_default();
        let missing: Vec<_> = issues.iter().filter(|issue| issue.has_auth_user).collect();
        let total = report
            .findings
            .iter()
            .find(|f| f.id == "recent_missing_profiles")
            .and_then(|f| f.count)
            .unwrap_or(0);
        let headline = match report.verdict {
            Verdict::Consistent => "recent signups have their profiles".to_owned(),
            Verdict::Unknown => "could not check recent signups".to_owned(),
            Verdict::Inconsistent => format!("{} failing now", counted(total, "signup")),
        };
        let mut facts = String::new();
        let mut listing = String::new();
        if report.issues.is_some() {
            let _ = writeln!(
                facts,
                "Signups of the last {} minutes without a profile: {total}",
                report.window.minutes
            );
            for issue in missing.iter().take(LISTED) {
                let _ = writeln!(
                    listing,
                    "  {} ({:.1} minutes ago)",
                    issue.user_id, issue.minutes_since_signup
                );
            }
            append_rest(&mut listing, total, missing.len(), "rollcall recent");
        }
        Self {
            headline,
            facts,
            listing,
            ..Self::new(report.verdict, report.check_time, &report.findings)
        }
    }

    fn new(verdict: Verdict, check_time: jiff::Timestamp, findings: &[Finding]) -> Self {
        let mut text = String::new();
        // what there is nothing to do about is no part of an alert
        for finding in findings
            .iter()
            .filter(|finding| finding.severity != Severity::Info)
        {
            let summary = format!("{}: {}", finding.id, finding.summary);
            // a flag such as --database-url stays in one piece
            let head = Options::new(WIDTH).word_splitter(WordSplitter::NoHyphenation);
            let next_step = head.clone().initial_indent("  ").subsequent_indent("  ");
            let _ = write!(
                text,
                "\n{}\n{}\n",
                textwrap::fill(&summary, head),
                textwrap::fill(&finding.next_step, next_step)
            );
        }
        Self {
            opening: format!("Verdict: {verdict}\nChecked: {check_time:.0}\n"),
            findings: text,
            next_steps: findings
                .iter()
                .filter(|finding| finding.verdict() != Verdict::Consistent)
                .map(|finding| finding.next_step.clone())
                .collect(),
            ..Self::default()
        }
    }

    /// Says that `count` of the users whom an earlier message named still have no profile, though the check looks at
    /// them no longer.
    pub(super) fn remember(&mut self, count: i64) {
        self.headline = format!("{} still without a profile", counted(count, "signup"));
        let _ = writeln!(
            self.facts,
            "Of those named before, still without one: {count}"
        );
        self.next_steps =
            vec!["See who: rollcall mismatches. Repair: rollcall backfill --apply.".to_owned()];
        let _ = write!(
            self.findings,
            "\n  See who: rollcall mismatches. Repair: rollcall backfill --apply.\n"
        );
    }
}

fn append_rest(listing: &mut String, total: i64, known: usize, command: &str) {
    if let more @ 1.. = total - i64::try_from(known.min(LISTED)).unwrap_or(total) {
        let _ = writeln!(listing, "  and {more} more: {command}");
    }
}
