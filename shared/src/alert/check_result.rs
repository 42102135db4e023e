//! What a check found, as far as alerts are concerned.

use jiff::Timestamp;
use uuid::Uuid;

use super::settings::Settings;
use super::summary::Summary;
use crate::checks::history::CheckName;
use crate::finding::Finding;
use crate::verdict::Verdict;

/// What a check found, as far as alerts are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckResult {
    /// Which check.
    pub check: CheckName,
    /// Its conclusion.
    pub verdict: Verdict,
    /// The moment that the report speaks of, by the database's clock. None: it could not look.
    pub at: Option<Timestamp>,
    /// Findings that are wrong, or not known, whatever the numbers are.
    pub finding_ids: Vec<String>,
    /// The finding that counts users without a profile, if there are some.
    pub missing_id: Option<String>,
    /// Users without a profile. None: it could not count.
    pub missing: Option<i64>,
    /// Of how many users, where that is known.
    pub of: Option<i64>,
    /// Some of them, newest first.
    pub user_ids: Vec<Uuid>,
    /// The report in words.
    pub summary: Summary,
}

impl CheckResult {
    /// What is the same for every check: where nothing was counted.
    pub(crate) fn new(
        check: CheckName,
        verdict: Verdict,
        findings: &[Finding],
        missing_id: &str,
        summary: Summary,
    ) -> Self {
        // a warning leads to no message
        let (counting, others): (Vec<_>, Vec<_>) = findings
            .iter()
            .filter(|finding| finding.verdict() != Verdict::Consistent)
            .partition(|finding| finding.id == missing_id);
        Self {
            check,
            verdict,
            at: None,
            finding_ids: others.iter().map(|finding| finding.id.to_owned()).collect(),
            missing_id: counting.first().map(|finding| finding.id.to_owned()),
            missing: None,
            of: None,
            user_ids: Vec::new(),
            summary,
        }
    }

    /// The moment that is kept of it as it is decided on. One that could not look speaks of that moment: what was seen before
    /// and is decided on later ends nothing.
    pub fn moment(&self, decided_at: Timestamp) -> Timestamp {
        self.at.unwrap_or(decided_at)
    }

    /// The same where only the incident is to end that was about not being able to look.
    pub(super) fn looking_again(&self) -> Self {
        let mut result = Self {
            finding_ids: Vec::new(),
            missing_id: None,
            missing: Some(0),
            user_ids: Vec::new(),
            ..self.clone()
        };
        result.summary.headline = "the database can be reached again".to_owned();
        result
    }

    /// Whether something is wrong and the check does not look for causes: it is then worth asking for them.
    pub(super) fn lacks_cause(&self) -> bool {
        self.check == CheckName::Recent && self.verdict == Verdict::Inconsistent
    }

    /// Whether as many users, and as large a share, miss their profile. With `half`, half of both is enough: what has
    /// opened an incident at a limit does not resolve it just below.
    pub(super) fn is_over(&self, missing: i64, settings: &Settings, half: bool) -> bool {
        let part = if half { 0.5 } else { 1.0 };
        // exact below 2^53 users
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of users are far below 2^53"
        )]
        let (missing_exact, least) = (missing as f64, settings.min_missing.max(1) as f64);
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of users are far below 2^53"
        )]
        let share = self
            .of
            .filter(|of| *of > 0)
            .map(|of| 100.0 * missing_exact / of as f64);
        missing_exact >= least * part
            && share.is_none_or(|share| share >= settings.min_percent * part)
    }
}
