//! The definition against the rows there are: column by column, kind of user by kind of user. Counts only.

use std::time::Duration;

use serde::Serialize;

use crate::database::{Database, column};
use crate::error::Result;

const LIMIT: Duration = Duration::from_secs(60);

/// How the definition compares with the rows there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Every kind of user that exists, in the order email, phone, sso, anonymous, other.
    pub kinds: Vec<KindComparison>,
}

/// One kind of user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
            Ok(Comparison { kinds })
        })
        .await
}
