//! Findings: what a check has to say, each with a stable id and the next step. Made by pure functions from counts;
//! none holds a value of a row.

mod definition;
mod next_signup;
mod probe;
mod profile;
mod user;

use std::cmp::Reverse;

use serde::Serialize;

pub use self::{definition::*, profile::*, user::*};
pub(crate) use self::{next_signup::*, probe::*};
use crate::error::{Error, Result};
use crate::verdict::Verdict;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// Worth a look; nobody is locked out.
    Warning,
    /// Users are locked out, will be, or nobody can tell.
    Critical,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Stable name, for programs and documentation.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The verdict that it alone would lead to.
    pub(crate) verdict: Verdict,
    /// How many users, profiles or columns it is about, where it is about some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// What is the case, in one sentence.
    pub summary: String,
    /// What that means, and for whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What was seen: names from the catalog and counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do next.
    pub next_step: String,
    /// The SQL that fixes it, where SQL can do so safely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    pub(crate) fn new(
        id: &'static str,
        severity: Severity,
        summary: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let verdict = if severity == Severity::Critical {
            Verdict::Inconsistent
        } else {
            Verdict::Consistent
        };
        Self {
            id,
            severity,
            count: None,
            summary: summary.into(),
            meaning: None,
            evidence: Vec::new(),
            next_step: next_step.into(),
            fix: None,
            verdict,
        }
    }

    fn counting(mut self, count: i64) -> Self {
        self.count = Some(count);
        self
    }

    /// The verdict that it alone would lead to.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl Verdict {
    /// The verdict that follows from findings: what is known to be wrong outranks what is not known,
    /// and both outrank silence.
    pub fn from_findings(findings: &[Finding]) -> Self {
        let says = |verdict| findings.iter().any(|finding| finding.verdict() == verdict);
        if says(Self::Inconsistent) {
            Self::Inconsistent
        } else if says(Self::Unknown) {
            Self::Unknown
        } else {
            Self::Consistent
        }
    }
}

/// Puts the findings of a report in order, the most severe first, and says which verdict follows from them.
pub fn conclude(findings: &mut [Finding]) -> Verdict {
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Verdict::from_findings(findings)
}

fn not_known(
    id: &'static str,
    summary: impl Into<String>,
    next_step: impl Into<String>,
) -> Finding {
    Finding {
        verdict: Verdict::Unknown,
        ..Finding::new(id, Severity::Critical, summary, next_step)
    }
}

/// Something could not be looked at.
pub fn check_failed(error: &Error) -> Finding {
    let finding = not_known(error.id(), error.to_string(), error.next_step());
    if matches!(error, Error::NoDefinition { .. }) {
        // nothing is wrong with the project: a person has yet to say where its profiles are
        Finding {
            severity: Severity::Warning,
            ..finding
        }
    } else {
        finding
    }
}

/// A command failed before it could look.
pub fn failed(message: String) -> Finding {
    not_known(
        "command_failed",
        message,
        "See what can be typed: rollcall help.",
    )
}

/// One check of the doctor failed by itself, and the others did not.
pub(crate) fn doctor_check_failed(id: &'static str, error: &Error) -> Finding {
    not_known(
        id,
        format!("this check could not look: {error}"),
        error.next_step(),
    )
}

/// What a check of the doctor found, in the words of its SQL: severity `critical`, `warning`, `info` or `unknown`.
///
/// # Errors
/// [`Error::UnexpectedAnswer`] for a severity that is none of them: what is not understood is not good news.
pub(crate) fn diagnosed(
    id: &'static str,
    severity: &str,
    summary: String,
    next_step: String,
) -> Result<Finding> {
    Ok(match severity {
        "critical" => Finding::new(id, Severity::Critical, summary, next_step),
        "warning" => Finding::new(id, Severity::Warning, summary, next_step),
        "info" => Finding::new(id, Severity::Info, summary, next_step),
        "unknown" => not_known(id, summary, next_step),
        _ => return Err(Error::UnexpectedAnswer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_comes_first_and_equals_stay_in_order() {
        let mut findings = [
            orphaned_profiles(1),
            email_mismatches(1),
            user_banned(),
            missing_profiles(1),
        ];
        assert_eq!(conclude(&mut findings), Verdict::Inconsistent);
        assert_eq!(
            findings.map(|finding| finding.id),
            [
                "missing_profiles",
                "email_mismatches",
                "orphaned_profiles",
                "user_banned"
            ]
        );
    }

    #[test]
    fn no_finding_is_consistent() {
        assert_eq!(Verdict::from_findings(&[]), Verdict::Consistent);
    }

    #[test]
    fn what_could_not_be_seen_is_unknown() {
        let blind = check_failed(&Error::NotMigrated);
        assert_eq!(Verdict::from_findings(&[blind]), Verdict::Unknown);
    }

    #[test]
    fn a_known_fault_outranks_blindness() {
        let findings = [check_failed(&Error::NotMigrated), missing_profiles(1)];
        assert_eq!(Verdict::from_findings(&findings), Verdict::Inconsistent);
    }

    #[test]
    fn a_warning_alone_leaves_the_verdict_consistent() {
        assert_eq!(
            Verdict::from_findings(&[email_mismatches(3)]),
            Verdict::Consistent
        );
    }

    #[test]
    fn a_definition_that_is_yet_to_be_made_is_no_fault_and_no_good_news() {
        let finding = check_failed(&Error::NoDefinition {
            message: String::new(),
            hint: None,
        });
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.verdict(), Verdict::Unknown);
        assert_eq!(
            check_failed(&Error::NotMigrated).severity,
            Severity::Critical
        );
    }

    #[test]
    fn the_doctors_severities_lead_to_their_verdicts_and_another_word_to_none() {
        let of = |severity| {
            let finding = diagnosed("a_check", severity, String::new(), String::new()).ok()?;
            Some((finding.severity, finding.verdict()))
        };
        for (word, expected) in [
            (
                "critical",
                Some((Severity::Critical, Verdict::Inconsistent)),
            ),
            ("warning", Some((Severity::Warning, Verdict::Consistent))),
            ("info", Some((Severity::Info, Verdict::Consistent))),
            ("unknown", Some((Severity::Critical, Verdict::Unknown))),
            ("fine", None),
        ] {
            assert_eq!(of(word), expected, "{word}");
        }
    }
}
