//! The three verdicts, and how findings lead to one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::finding::Finding;

/// What a check concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was looked at, and nothing is wrong.
    Consistent,
    /// Something was looked at and is wrong.
    Inconsistent,
    /// Something could not be looked at, and nothing that could be is wrong.
    Unknown,
}

impl Verdict {
    /// The word for it: `consistent`, `inconsistent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Inconsistent => "inconsistent",
            Self::Unknown => "unknown",
        }
    }

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

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        [Self::Consistent, Self::Inconsistent, Self::Unknown]
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
            .ok_or(Error::UnexpectedAnswer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding;

    #[test]
    fn no_finding_is_consistent() {
        assert_eq!(Verdict::from_findings(&[]), Verdict::Consistent);
    }

    #[test]
    fn what_could_not_be_seen_is_unknown() {
        let blind = finding::check_failed(&Error::NotMigrated);
        assert_eq!(Verdict::from_findings(&[blind]), Verdict::Unknown);
    }

    #[test]
    fn a_known_fault_outranks_blindness() {
        let findings = [
            finding::check_failed(&Error::NotMigrated),
            finding::missing_profiles(1),
        ];
        assert_eq!(Verdict::from_findings(&findings), Verdict::Inconsistent);
    }

    #[test]
    fn a_warning_alone_leaves_the_verdict_consistent() {
        assert_eq!(
            Verdict::from_findings(&[finding::email_mismatches(3)]),
            Verdict::Consistent
        );
    }
}
