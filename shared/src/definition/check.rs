//! The definition against the rows there are: column by column, kind of user by kind of user. Counts only.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::database::{Database, column};
use crate::error::Result;
use crate::finding::{self, Finding};
use crate::verdict::Verdict;
use crate::wording::counted;

/// Fewer profiles say nothing about a definition.
const ENOUGH: i64 = 5;

const LIMIT: Duration = Duration::from_secs(60);

/// How the definition compares with the rows there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The conclusion: `unknown` where the definition expects nobody and profiles exist.
    pub verdict: Verdict,
    /// What led to it, the most severe first.
    pub findings: Vec<Finding>,
    /// Every kind of user that exists, in the order email, phone, sso, anonymous, other.
    pub kinds: Vec<KindComparison>,
}

/// One kind of user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindComparison {
    /// `email`, `phone`, `sso`, `anonymous` or `other`.
    pub kind: String,
    /// Users of the kind who are not deleted.
    pub users: i64,
    /// Of them, those whom the definition expects to have a profile.
    pub expected: i64,
    /// Of the expected, those who have one.
    pub with_profile: i64,
    /// Users who have a profile that the definition does not expect.
    pub unexpected: i64,
    /// The columns of the definition: what a created profile would have, against what the profiles have.
    pub columns: Vec<Shares>,
}

/// One column, over the expected users who have a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shares {
    /// Its name.
    pub column: String,
    /// Profiles with the same value.
    pub same: i64,
    /// Profiles with a value where the definition has none.
    pub only_profile: i64,
    /// Profiles without a value where the definition has one.
    pub only_definition: i64,
    /// Profiles with another value.
    pub other: i64,
}

/// Compares them. The statement is written by the database, which knows the columns.
///
/// # Errors
/// [`crate::error::Error::NoDefinition`], and what the server refuses.
pub async fn check(database: &mut Database) -> Result<Comparison> {
    database
        .read(LIMIT, async |queries| {
            let row = queries.row(include_str!("check.sql"), &[]).await?;
            let statement: String = column(&row, "statement")?;
            let mut kinds: Vec<KindComparison> = Vec::new();
            for row in queries.rows(&statement, &[]).await? {
                let kind: String = column(&row, "kind")?;
                if kinds.last().is_none_or(|last| last.kind != kind) {
                    kinds.push(KindComparison {
                        kind,
                        users: column(&row, "users")?,
                        expected: column(&row, "expected")?,
                        with_profile: column(&row, "with_profile")?,
                        unexpected: column(&row, "unexpected")?,
                        columns: Vec::new(),
                    });
                }
                // none where nobody of the kind has a profile
                let name: Option<String> = column(&row, "column_name")?;
                if let (Some(last), Some(name)) = (kinds.last_mut(), name) {
                    last.columns.push(Shares {
                        column: name,
                        same: column(&row, "same")?,
                        only_profile: column(&row, "only_profile")?,
                        only_definition: column(&row, "only_definition")?,
                        other: column(&row, "other")?,
                    });
                }
            }
            let mut findings = judge(&kinds);
            Ok(Comparison {
                verdict: finding::conclude(&mut findings),
                findings,
                kinds,
            })
        })
        .await
}

/// Whether the rows bear the definition out: half of the profiles must have the values that a repair would give them, and
/// half of the users of a kind a profile where one is expected, and none where none is.
fn judge(kinds: &[KindComparison]) -> Vec<Finding> {
    let sum = |of: fn(&KindComparison) -> i64| kinds.iter().map(of).sum::<i64>();
    let profiles = sum(|kind| kind.with_profile + kind.unexpected);
    if sum(|kind| kind.expected) == 0 && profiles > 0 {
        return vec![finding::definition_expects_nobody(profiles)];
    }
    let is_little = |part: i64, whole: i64| whole >= ENOUGH && part * 2 < whole;
    let mut unexplained = Vec::new();
    let compared = sum(|kind| kind.with_profile);
    let mut columns: BTreeMap<&str, i64> = BTreeMap::new();
    for shares in kinds.iter().flat_map(|kind| &kind.columns) {
        *columns.entry(&shares.column).or_default() += shares.same;
    }
    for (column, same) in columns {
        if is_little(same, compared) {
            unexplained.push(format!(
                "column {column}: {same} of {} with the value that a repair would create",
                counted(compared, "profile")
            ));
        }
    }
    for kind in kinds {
        let name = &kind.kind;
        if is_little(kind.with_profile, kind.expected) {
            unexplained.push(format!(
                "kind {name}: {} of {} who must have a profile with one",
                kind.with_profile,
                counted(kind.expected, "user")
            ));
        }
        let not_expected = kind.users - kind.expected;
        if is_little(not_expected - kind.unexpected, not_expected) {
            unexplained.push(format!(
                "kind {name}: {} of {} who need no profile with one all the same",
                kind.unexpected,
                counted(not_expected, "user")
            ));
        }
    }
    if unexplained.is_empty() {
        Vec::new()
    } else {
        vec![finding::definition_explains_little(unexplained)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(
        users: i64,
        expected: i64,
        with_profile: i64,
        unexpected: i64,
        same: i64,
    ) -> KindComparison {
        KindComparison {
            kind: "email".to_owned(),
            users,
            expected,
            with_profile,
            unexpected,
            columns: vec![Shares {
                column: "name".to_owned(),
                same,
                only_profile: 0,
                only_definition: 0,
                other: with_profile - same,
            }],
        }
    }

    fn ids(kind: KindComparison) -> Vec<&'static str> {
        judge(&[kind]).iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_definition_that_the_rows_bear_out_has_no_finding() {
        assert!(judge(&[]).is_empty());
        assert!(ids(kind(10, 10, 9, 0, 5)).is_empty());
        assert!(ids(kind(10, 10, 10, 0, 5)).is_empty(), "half is enough");
        assert!(ids(kind(10, 4, 4, 1, 0)).is_empty(), "too few to tell");
    }

    #[test]
    fn one_that_explains_little_is_a_finding() {
        for odd in [
            kind(10, 10, 9, 0, 4),
            kind(10, 10, 4, 0, 4),
            kind(10, 4, 4, 4, 4),
        ] {
            assert_eq!(ids(odd), ["definition_explains_little"]);
        }
    }

    #[test]
    fn one_that_expects_nobody_is_a_finding_where_profiles_exist() {
        let found = judge(&[kind(10, 0, 0, 3, 0)]);
        assert_eq!(Verdict::from_findings(&found), Verdict::Unknown);
        assert!(ids(kind(10, 0, 0, 0, 0)).is_empty());
    }
}
