//! The definition of who must have a profile: reading it, drafting one, comparing it with the rows there are, setting it.

mod check;
mod file;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::Type;

use crate::database::{Database, Queries, column};
use crate::error::Result;

pub use check::{Comparison, KindComparison, Shares, check};
pub use file::DefinitionFile;

const LIMIT: Duration = Duration::from_secs(20);

/// How long trying signups may take before a draft goes without.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(6);

/// The definition in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Definition {
    /// The profile table, with its schema.
    pub table: String,
    /// The column that holds the user's id.
    pub key_column: String,
    /// The columns that a created profile is given.
    pub columns: Vec<String>,
    /// The query: one row for each user who must have a profile.
    pub query: String,
    /// Whether Rollcall drafted it; one that a person has set is never replaced.
    pub is_draft: bool,
    /// When it was put in force.
    pub defined_at: Timestamp,
    /// By which role.
    pub defined_by: String,
}

/// A table that could hold the profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// Its name, with its schema.
    pub table: String,
    /// Why.
    pub reason: String,
    /// Whether it is the likeliest by far, so that an installation takes it.
    pub stands_out: bool,
}

/// A definition that nobody has set yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Draft {
    /// The profile table, with its schema.
    pub table: String,
    /// The query, with what is known of it as comments.
    pub query: String,
}

/// The definition in force; none where there is none.
///
/// # Errors
/// What the server refuses.
pub async fn current(database: &mut Database) -> Result<Option<Definition>> {
    database
        .read(LIMIT, async |queries| {
            let rows = queries
                .rows(include_str!("definition/current.sql"), &[])
                .await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(Definition {
                table: column(row, "target_table")?,
                key_column: column(row, "key_column")?,
                columns: column(row, "columns")?,
                query: column(row, "query")?,
                is_draft: column(row, "is_draft")?,
                defined_at: column(row, "defined_at")?,
                defined_by: column(row, "defined_by")?,
            }))
        })
        .await
}

/// Tables that could hold the profiles, best first.
///
/// # Errors
/// What the server refuses.
pub async fn candidates(database: &mut Database) -> Result<Vec<Candidate>> {
    database.read(LIMIT, candidates_in).await
}

/// The same in a transaction that is open.
///
/// # Errors
/// As [`candidates`].
pub(crate) async fn candidates_in(queries: &Queries<'_>) -> Result<Vec<Candidate>> {
    queries
        .rows(
            "select c.table_name, c.reason, c.stands_out from rollcall.candidate_tables() c",
            &[],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(Candidate {
                table: column(row, "table_name")?,
                reason: column(row, "reason")?,
                stands_out: column(row, "stands_out")?,
            })
        })
        .collect()
}

/// A table as the catalog spells it, with its schema; none where there is no such table. Without a schema it is one of
/// `public`.
///
/// # Errors
/// What the server refuses.
pub async fn find_table(database: &mut Database, name: &str) -> Result<Option<String>> {
    database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    "select coalesce(to_regclass($1), to_regclass('public.' || $1))::text as found",
                    &[(&name, Type::TEXT)],
                )
                .await?;
            column(&row, "found")
        })
        .await
}

/// What made-up signups of every kind leave, for a table or for the one that they fill: tried in a transaction that is
/// rolled back. None where nothing can be tried, where what a signup does could not be rolled back, or where it takes too
/// long.
///
/// # Errors
/// [`crate::error::Error::ConnectionLost`]: a draft goes without an example that the database refuses.
async fn example(database: &mut Database, table: Option<&str>) -> Result<Option<Value>> {
    let tried = database
        .try_out(EXAMPLE_LIMIT, async |queries| {
            example_in(queries, table).await
        })
        .await;
    match tried {
        Err(error) if error.is_connection_lost() || !database.is_usable() => Err(error),
        tried => Ok(tried.unwrap_or_default()),
    }
}

/// Makes the function `rollcall.signup_example()`.
pub(crate) const EXAMPLE_SQL: &str = include_str!("definition/example.sql");

/// The same in a transaction that is open. It must be rolled back: sequences are put back only then, and the function goes.
///
/// # Errors
/// What the server refuses.
pub(crate) async fn example_in(
    queries: &Queries<'_>,
    table: Option<&str>,
) -> Result<Option<Value>> {
    queries.script(EXAMPLE_SQL).await?;
    let row = queries
        .row(
            "select rollcall.signup_example($1::regclass) as example",
            &[(&table, Type::TEXT)],
        )
        .await?;
    column(&row, "example")
}

/// A definition for a table, from its columns, its rows and signups that are tried and rolled back; without a table for the
/// one that stands out, that a signup fills, or that is the first of the candidates. None where there is no such table.
///
/// # Errors
/// What the server refuses.
pub async fn draft(database: &mut Database, table: Option<&str>) -> Result<Option<Draft>> {
    let example = example(database, table).await?;
    let table = match table {
        Some(table) => table.to_owned(),
        None => {
            let candidates = candidates(database).await?;
            let filled = example
                .as_ref()
                .and_then(|example| example["table"].as_str());
            let chosen = candidates
                .iter()
                .find(|candidate| candidate.stands_out)
                .map(|candidate| candidate.table.as_str())
                .or(filled)
                .or(candidates.first().map(|candidate| candidate.table.as_str()));
            match chosen {
                Some(table) => table.to_owned(),
                None => return Ok(None),
            }
        }
    };
    database
        .read(LIMIT, async |queries| {
            let row = queries
                .row(
                    "select rollcall.draft_definition($1::regclass, $2) as draft",
                    &[(&table, Type::TEXT), (&example, Type::JSONB)],
                )
                .await?;
            let query = column(&row, "draft")?;
            Ok(Some(Draft {
                table: table.clone(),
                query,
            }))
        })
        .await
}

/// Checks a definition and puts it in force.
///
/// # Errors
/// [`crate::error::Error::Statement`] with the reason where it is refused; then nothing was changed.
pub async fn set(database: &mut Database, table: &str, query: &str) -> Result<()> {
    database
        .write(LIMIT, async |queries| {
            queries
                .rows(
                    "select rollcall.define($1::regclass, $2)",
                    &[(&table, Type::TEXT), (&query, Type::TEXT)],
                )
                .await?;
            Ok(())
        })
        .await
}
