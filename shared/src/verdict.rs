//! The three verdicts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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

    #[test]
    fn a_verdict_is_read_from_its_own_word_and_from_no_other() {
        for verdict in [Verdict::Consistent, Verdict::Inconsistent, Verdict::Unknown] {
            assert_eq!(verdict.to_string().parse::<Verdict>().ok(), Some(verdict));
        }
        assert!("healthy".parse::<Verdict>().is_err());
    }
}
